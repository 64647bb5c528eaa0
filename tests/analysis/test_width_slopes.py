import numpy as np
import pytest

from gradjax.analysis.width_slopes import (
    LAYER,
    LOGITS,
    READOUT,
    Sizes,
    slopes,
    worst,
)

WIDTHS = [64, 128, 256, 512, 1024]


def powers(*exponents, num_seeds=3):
    """f[widths, steps + 1, seeds]: a power of the width at each step."""
    widths = np.asarray(WIDTHS, float)[:, None, None]
    noise = np.exp([-0.1, 0.0, 0.1][:num_seeds])
    return 3.0 * widths ** np.asarray(exponents)[None, :, None] * noise


def found(kind, size, change):
    return slopes(WIDTHS, {"layer": Sizes(kind, powers(*size), powers(*change))})


def test_slopes_of_powers_are_their_exponents():
    by_place = {
        (one.quantity, one.step): one
        for one in found(LAYER, (0.0, 0.5, -0.25), (0.0, 1.0, 0.125))
    }
    assert len(by_place) == 5, "a change before the first step is 0 and left out"
    expected = [("size", 0, 0.0), ("size", 1, 0.5), ("size", 2, -0.25)]
    expected += [("change", 1, 1.0), ("change", 2, 0.125)]
    for quantity, step, value in expected:
        one = by_place[quantity, step]
        assert one.value == pytest.approx(value, abs=1e-12)
        assert one.half_width == pytest.approx(0.0, abs=1e-9)
        assert one.passes is (abs(value) <= 0.2)


@pytest.mark.parametrize(
    ("kind", "size", "change", "passes"),
    [
        (LAYER, (0.0, 0.0), (0.0, 0.0), True),
        (LAYER, (-0.5, -0.5), (0.0, 0.0), False),
        (LAYER, (0.0, 0.0), (0.0, 0.5), False),
        (LAYER, (0.0, 0.0), (0.0, -1.0), False),
        (READOUT, (-0.5, 0.0), (0.0, 0.0), True),
        (READOUT, (0.0, 0.0), (0.0, 0.0), True),
        (READOUT, (0.0, 1.0), (0.0, 1.0), False),
        (READOUT, (-1.0, -0.8), (0.0, 0.0), False),
        (LOGITS, (-0.5, -0.2), (0.0, -0.1), True),
        (LOGITS, (0.0, 0.0), (0.0, 0.1), False),
        (LOGITS, (-0.5, 0.4), (0.0, 0.4), False),
    ],
)
def test_the_verdict_is_that_of_the_kind(kind, size, change, passes):
    assert all(one.passes for one in found(kind, size, change)) is passes


def test_a_readout_that_starts_at_zero_passes_and_a_dead_network_does_not():
    zero = powers(0.0, 0.0)
    zero[:, 0] = 0.0
    sizes = {"outputs": Sizes(READOUT, zero, powers(0.0, 0.0))}
    assert all(one.passes for one in slopes(WIDTHS, sizes))
    zero[1:, 1] = 0.0
    wrong = [one for one in slopes(WIDTHS, sizes) if not one.passes]
    assert [(one.quantity, one.step) for one in wrong] == [("size", 1)]


def test_values_that_are_not_finite_fail_and_are_the_worst():
    values = powers(0.0, 9.0)
    values[-1, 0] = np.inf
    slope = worst(slopes(WIDTHS, {"layer": Sizes(LAYER, values, powers(0.0, 0.0))}))
    assert np.isnan(slope.value) and not slope.passes and slope.step == 0


def test_one_seed_has_no_interval():
    values = powers(0.0, 0.0, num_seeds=1)
    one = slopes(WIDTHS, {"layer": Sizes(LAYER, values, values)})[0]
    assert np.isnan(one.half_width) and one.passes
