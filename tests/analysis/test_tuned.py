import itertools

import numpy as np
import pytest

from gradjax.analysis.tuned import tuning_interval, tuning_p_value
from gradjax.errors import Refusal


@pytest.mark.parametrize(("size", "other"), [(3, 3), (4, 2), (1, 5)])
@pytest.mark.parametrize("direction", ["min", "max"])
def test_the_p_value_counts_all_divisions(size, other, direction):
    values = np.random.default_rng(size).normal(size=size + other)
    best = {"min": min, "max": max}[direction]

    def gap(chosen):
        rest = set(range(len(values))) - set(chosen)
        return abs(best(values[list(chosen)]) - best(values[list(rest)]))

    observed = gap(range(size))
    divisions = itertools.combinations(range(len(values)), size)
    expected = np.mean([gap(one) >= observed - 1e-12 for one in divisions])
    found = tuning_p_value(values[:size], values[size:], direction)
    assert found == pytest.approx(expected)


def test_five_trials_ahead_of_twenty_are_needed_at_five_percent():
    for ahead, is_found in ((4, False), (5, True)):
        ours = np.r_[np.arange(ahead), 100 + np.arange(20 - ahead)]
        theirs = 50.0 + np.arange(20)
        assert (tuning_p_value(ours, theirs, "min") <= 0.05) is is_found


def test_optimizers_that_are_alike_are_seldom_told_apart():
    draws = np.random.default_rng(0).normal(size=(1_000, 2, 20))
    found = [tuning_p_value(one, other, "min") <= 0.05 for one, other in draws]
    assert sum(found) <= 67


def test_the_interval_agrees_with_the_p_value_and_covers_the_shift():
    random = np.random.default_rng(1)
    covered = []
    for _ in range(25):
        ours, theirs = random.normal(size=12) - 0.5, random.normal(size=12)
        found = tuning_interval(ours, theirs, "min")
        assert found.low <= found.estimate <= found.high
        is_rejected = tuning_p_value(ours, theirs, "min") <= 0.05
        assert is_rejected <= (not found.low < 0 < found.high)
        covered.append(found.low <= -0.5 <= found.high)
    assert np.mean(covered) >= 0.8


def test_the_interval_mirrors_the_direction():
    ours, theirs = np.random.default_rng(2).normal(size=(2, 12))
    low, high = tuning_interval(ours, theirs, "min")[1:]
    np.testing.assert_allclose(
        tuning_interval(-ours, -theirs, "max")[1:], (-high, -low)
    )


def test_diverged_trials_are_the_worst():
    lost = [np.nan] * 12
    assert tuning_p_value(lost, lost, "min") == 1.0
    assert tuning_p_value(np.arange(12.0), lost, "min") < 0.001
    assert np.isnan(tuning_interval(lost, [1.0], "min").estimate)


def test_wrong_input_is_refused():
    with pytest.raises(Refusal, match="trials"):
        tuning_p_value([], [1.0], "min")
    with pytest.raises(Refusal, match="confidence"):
        tuning_interval([1.0], [1.0], "min", 1.5)
