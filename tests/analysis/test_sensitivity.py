import numpy as np
import pytest

from gradjax.analysis.sensitivity import basin, learning_rate_sensitivity
from gradjax.errors import Refusal

RATES = [0.001, 0.01, 0.1, 1.0]


def test_a_flat_curve_has_no_sensitivity_and_a_bad_rate_costs_the_first_loss():
    assert learning_rate_sensitivity([0.2] * 4, 2.0) == 0.0
    found = learning_rate_sensitivity([0.2, 0.4, 5.0, np.nan], 2.0)
    assert found == pytest.approx((0.0 + 0.2 + 1.8 + 1.8) / 4)


def test_the_basin_of_a_parabola_in_the_log():
    # The value is the squared distance in decades, interpolated between decades.
    found = basin(RATES, [1.0, 0.0, 1.0, 4.0], 0.25, "min")
    assert found.best_rate == pytest.approx(0.01)
    np.testing.assert_allclose([found.low, found.high], 10 ** np.array([-2.25, -1.75]))
    assert found.decades == pytest.approx(0.5)
    assert not found.is_low_open
    assert not found.is_high_open


def test_open_ends_and_diverged_neighbours():
    found = basin(RATES[::-1], [np.nan, 0.9, 0.9, 0.9], 0.01, "max")
    assert (found.low, found.high) == (pytest.approx(0.001), pytest.approx(0.1))
    assert found.is_low_open
    assert not found.is_high_open


def test_wrong_input_is_refused():
    for rates, values, tolerance in (
        ([0.0, 1.0], [1.0, 2.0], 0.1),
        ([1.0], [1.0, 2.0], 0.1),
        ([1.0], [np.nan], 0.1),
        ([1.0], [1.0], -0.1),
    ):
        with pytest.raises(Refusal, match="basin"):
            basin(rates, values, tolerance, "min")


def test_a_sensitivity_over_unequal_rates_is_the_integral_over_the_logarithm():
    """The loss is linear in the logarithm: from 0 to 3 over 3 decades, bounded by 2."""
    rates = np.array([100.0, 0.1, 1.0, 50.0, 10.0])
    losses = np.log10(rates / 0.1)
    found = learning_rate_sensitivity(losses, 9.0, rates)
    assert found == pytest.approx(1.5)
    bounded = learning_rate_sensitivity([0.0, 1.0, np.nan], 2.0, [1, 10, 100])
    assert bounded == pytest.approx((0.5 + 1.5) / 2)
    with pytest.raises(Refusal, match="at least 2 positive rates"):
        learning_rate_sensitivity([0.1], 1.0, [0.1])
