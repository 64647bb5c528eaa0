import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.derivatives import differences
from gradjax.errors import Refusal

STEPS = np.geomspace(1e-12, 1.0, 600)


def along(loss, point, direction, dtype=np.float64):
    with jax.enable_x64(True):
        line = differences.line(loss, point, direction, STEPS)
        return line, differences.quotients(line, dtype)


def wave(params):
    return jnp.sin(params).sum()


@pytest.fixture(scope="module")
def waves():
    """Per precision, of a sum of sines at 1, 2 and 3 along its second coordinate."""
    return {
        dtype: along(wave, (1.0, 2.0, 3.0), (0.0, -5.0, 0.0), dtype)
        for dtype in (np.float32, np.float64)
    }


def test_derivatives_are_those_of_sin_and_the_direction_has_length_1(waves):
    line, _ = waves[np.float64]
    assert line.direction.tolist() == [0.0, -1.0, 0.0]
    s, c = np.sin(2.0), np.cos(2.0)
    value = np.sin([1.0, 2.0, 3.0]).sum()
    expected = [value, -c, -s, c, s, -c]
    np.testing.assert_allclose(line.derivatives, expected, rtol=1e-14)
    size = value + np.abs([np.cos(1.0), 2.0 * c, 3.0 * np.cos(3.0)]).sum()
    assert line.sizes[0] == pytest.approx(size)
    np.testing.assert_allclose(line.truncation, line.steps**2 * abs(c) / 6, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_errors_are_those_of_theory_on_either_side(waves, dtype):
    line, one = waves[dtype]
    best = differences.best_in_theory(line, one)
    eps = np.finfo(dtype).eps
    assert best == pytest.approx(
        (1.5 * eps * line.sizes[0] / abs(np.cos(2.0))) ** (1 / 3), rel=1e-6
    )
    assert best / 5.0 < line.steps[one.best] < 2.0 * best
    fits = differences.exponents(line, one)
    assert fits.rounding == pytest.approx(-1.0, abs=0.1)
    assert fits.truncation == pytest.approx(2.0, abs=0.03)
    assert fits.forward == pytest.approx(1.0, abs=0.05)
    is_long = (line.steps > 10.0 * best) & (line.steps < 0.1)
    exact = line.truncation * (1.0 - line.steps**2 / 20.0)  # the next term of sin
    np.testing.assert_allclose(one.central[is_long], exact[is_long], rtol=0.02)
    is_short = (line.steps > 100.0 * eps) & (line.steps < best / 10.0)
    ratio = one.central[is_short] / one.rounding[is_short]
    assert np.median(ratio) > 0.05 and ratio.max() < 1.5


def test_a_step_too_short_to_move_the_point_gives_the_quotient_0(waves):
    line, one = waves[np.float32]
    lost = line.steps < 2.0 * np.finfo(np.float32).eps / 10.0
    np.testing.assert_allclose(one.central[lost], abs(line.derivatives[1]))


def test_jax_grad_is_right_to_rounding_in_both_precisions(waves):
    for dtype, (line, one) in waves.items():
        assert one.gradient <= 2.0 * np.finfo(dtype).eps * abs(line.derivatives[1])


def test_a_quadratic_has_no_best_step_and_no_exponent_of_longer_ones():
    line, one = along(lambda p: (p**2).sum(), (1.0, 2.0), (0.6, 0.8))
    assert line.truncation.tolist() == [0.0] * len(STEPS)
    assert differences.best_in_theory(line, one) is None
    fits = differences.exponents(line, one)
    assert fits.truncation is None
    assert fits.rounding == pytest.approx(-1.0, abs=0.05)
    assert fits.forward == pytest.approx(1.0, abs=0.01)


def test_where_nothing_is_rounded_there_is_no_exponent_of_shorter_steps():
    line, one = along(lambda p: p[0] + p[0] ** 3, (0.0,), (1.0,))
    assert differences.exponents(line, one).rounding is None
    assert differences.best_in_theory(line, one) is None
    fits = differences.exponents(line, one)
    assert fits.truncation == pytest.approx(2.0, abs=0.01)


def test_float32_alone_is_refused():
    with pytest.raises(Refusal, match="enable_x64"):
        differences.line(wave, (1.0,), (1.0,), STEPS)


def test_running_median_spans_half_a_decade_and_ignores_outliers():
    steps = np.geomspace(1e-3, 1e2, 101)  # 20 a decade
    values = np.where(np.arange(101) % 5 == 0, 0.0, steps)
    smooth = differences.running_median(values, steps)
    np.testing.assert_allclose(smooth[10:-10] / steps[10:-10], 1.0, atol=0.3)
    impulse = np.where((np.arange(101) > 49) & (np.arange(101) < 55), 1.0, 0.0)
    assert not differences.running_median(impulse, steps).any(), "5 of 11 are fewer"
    impulse[55] = 1.0
    seen = np.flatnonzero(differences.running_median(impulse, steps))
    assert seen.tolist() == [50, 51, 52, 53, 54, 55], "all 6 lie within 5 of these"
