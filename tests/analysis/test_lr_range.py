import numpy as np
import pytest

from gradjax.analysis import lr_range

RATES = lr_range.rates(1e-6, 10.0, 200)
RATIO = RATES[1] / RATES[0]


def descent(curvature, rates=RATES):
    """The losses of gradient descent from 1 on one curvature, in float64."""
    factors = (1.0 - rates[:-1] * curvature) ** 2
    with np.errstate(over="ignore"):  # it diverges to infinity
        return 0.5 * curvature * np.cumprod(np.append(1.0, factors))


def noise(level=2.3, size=200, seed=0, deviation=0.1):
    return level + deviation * np.random.default_rng(seed).normal(size=size)


def test_rates_rise_in_equal_ratios_from_low_to_high():
    assert RATES[0] == 1e-6 and RATES[-1] == pytest.approx(10.0)
    np.testing.assert_allclose(RATES[1:] / RATES[:-1], (1e7) ** (1 / 199))


def test_the_average_is_that_of_weights_that_sum_to_1():
    losses = noise(size=40)
    for k in (0, 1, 17, 39):
        weights = 0.98 ** np.arange(k, -1, -1)
        expected = np.average(losses[: k + 1], weights=weights)
        assert lr_range.smooth(losses)[k] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(lr_range.smooth(np.full(30, 1.7)), 1.7)


@pytest.mark.parametrize("curvature", [0.5, 1.0, 7.0, 100.0, 1_000.0])
def test_descent_on_a_quadratic_diverges_within_one_step_of_2_over_l(curvature):
    found = lr_range.outcome(RATES, descent(curvature))
    edge = 2.0 / curvature
    assert found.divergence is not None
    assert edge < found.divergence <= edge * RATIO
    assert found.suggestion is not None and found.suggestion < edge


def test_a_loss_that_explodes_at_once_diverges_where_it_begins_to_rise():
    losses = noise()
    losses[150:] = 2.5 * 30.0 ** np.arange(1, 51)
    found = lr_range.outcome(RATES, losses)
    assert found.num_tested == 151 + 1
    assert RATES[147] <= found.divergence <= RATES[149]
    assert np.isnan(found.smoothed[152:]).all()
    assert np.isfinite(found.smoothed[:152]).all()


def test_a_loss_that_is_not_finite_ends_the_test():
    losses = np.linspace(2.0, 1.0, 200)
    losses[100:] = np.nan
    found = lr_range.outcome(RATES, losses)
    assert found.num_tested == 101
    assert found.divergence == RATES[99]
    assert found.suggestion is not None and found.suggestion < RATES[100]


def test_a_loss_of_a_guess_after_a_fall_has_diverged():
    """2.3 is less than 4 times the least value, 0.9 of the average."""
    losses = noise(deviation=0.02)
    losses[100:150] = np.linspace(2.3, 0.8, 50)
    losses[150:] = np.linspace(1.5, 3.5, 50)
    found = lr_range.outcome(RATES, losses)
    assert found.divergence is not None and found.num_tested < 190
    assert RATES[100] < found.suggestion < RATES[150] < found.divergence * RATIO**2


def test_a_loss_that_oscillates_as_with_momentum_has_not_diverged():
    steps = np.arange(200)
    losses = np.exp(-steps / 60.0) * np.cos(steps / 9.0) ** 2 + 1e-9
    assert lr_range.outcome(RATES, losses).divergence is None


def test_a_loss_that_rises_from_the_first_step_has_no_suggestion():
    found = lr_range.outcome(RATES, 2.0 * 3.0 ** np.arange(200.0))
    assert found.suggestion is None
    assert found.divergence == RATES[0]
    assert found.num_tested < lr_range.SKIPPED
    gone = lr_range.outcome(RATES, np.full(200, np.nan))
    assert (gone.suggestion, gone.divergence) == (None, RATES[0])
    assert gone.num_tested == 1


def test_noise_gives_no_rates():
    found = [lr_range.outcome(RATES, noise(seed=seed)) for seed in range(200)]
    assert sum(one.suggestion is not None for one in found) <= 10
    assert sum(one.divergence is not None for one in found) <= 2


def test_a_constant_loss_gives_no_rates():
    found = lr_range.outcome(RATES, np.full(200, 0.7))
    assert (found.suggestion, found.divergence) == (None, None)
    assert found.num_tested == 200


def test_a_negative_loss_is_tested_by_its_distance():
    losses = -1.0 - np.linspace(0.0, 1.0, 200)
    assert lr_range.outcome(RATES, losses).divergence is None
    losses[180:] = 1e6
    assert lr_range.outcome(RATES, losses).divergence == RATES[179]


def test_the_suggestion_is_the_steepest_fall_of_the_average():
    losses = 2.0 - 1.0 / (1.0 + np.exp(-(np.arange(200) - 120) / 8.0))
    found = lr_range.outcome(RATES, losses)
    falls = np.diff(lr_range.smooth(losses))
    assert found.suggestion == RATES[falls.argmin()]
    assert found.num_tested == 200


def test_the_spread_is_a_median_of_logarithms_with_the_range():
    found = lr_range.spread([0.1, 0.01, None])
    assert found is not None
    assert found.median == pytest.approx(10.0**-1.5)
    assert (found.low, found.high, found.num_seeds) == (0.01, 0.1, 2)


@pytest.mark.parametrize("values", [[], [None], [0.1, None], [None, None, 1.0]])
def test_there_is_no_median_if_half_of_the_seeds_have_no_rate(values):
    assert lr_range.spread(values) is None
