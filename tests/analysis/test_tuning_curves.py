import itertools

import numpy as np
import pytest

from gradjax.analysis.tuning_curves import (
    best_of_band,
    mean_best_of,
    mean_best_of_subsets,
    median_best_of,
    overtaking,
)
from gradjax.errors import Refusal

COUNTS = np.arange(1, 9)


def _values(count=8, seed=0):
    return np.random.default_rng(seed).normal(size=count)


@pytest.mark.parametrize("direction", ["min", "max"])
def test_the_mean_over_subsets_is_that_of_all_subsets(direction):
    values, best = _values(), {"min": min, "max": max}[direction]
    expected = [
        np.mean([best(one) for one in itertools.combinations(values, k)])
        for k in COUNTS
    ]
    np.testing.assert_allclose(
        mean_best_of_subsets(values, COUNTS, direction), expected
    )


@pytest.mark.parametrize("direction", ["min", "max"])
def test_the_mean_with_replacement_is_that_of_all_draws(direction):
    values, best = _values(5), {"min": min, "max": max}[direction]
    expected = [
        np.mean([best(one) for one in itertools.product(values, repeat=k)])
        for k in (1, 2, 3, 4)
    ]
    np.testing.assert_allclose(mean_best_of(values, [1, 2, 3, 4], direction), expected)


def test_the_median_is_that_of_all_draws():
    values = _values(5)
    for k in (1, 2, 3, 4):
        draws = sorted(max(one) for one in itertools.product(values, repeat=k))
        lower = draws[int(np.ceil(len(draws) / 2)) - 1]
        assert median_best_of(values, [k], "max")[0] == lower
        assert median_best_of(-values, [k], "min")[0] == -lower


def test_diverged_trials_are_the_worst():
    values = [0.3, np.nan, 0.1, np.nan]
    np.testing.assert_array_equal(
        median_best_of(values, [1, 2, 4], "min"), [np.inf, 0.3, 0.1]
    )
    assert mean_best_of(values, [1], "min")[0] == np.inf
    assert mean_best_of_subsets(values, [3, 4], "min")[1] == pytest.approx(0.1)


def test_one_optimizer_overtakes_another_and_stays_ahead():
    steady = [0.5, 0.51, 0.52, 0.53]
    rare = [0.4, 0.9, 0.9, 0.9]
    # The median best of k is 0.4 once 1 - 2^(-1/k) <= 1/4, from k = 3 on.
    assert overtaking(rare, steady, "min") == 3
    assert overtaking(steady, rare, "min") is None
    assert overtaking(steady, [1.0] * 4, "min") == 1


def test_the_band_is_seeded_and_mirrors_the_direction():
    pytest.importorskip("opda")
    values = _values(8)
    found = best_of_band(values, [1, 2, 8], "max")
    mirrored = best_of_band(-values, [1, 2, 8], "min")
    np.testing.assert_array_equal(found.low, -mirrored.high)
    np.testing.assert_array_equal(found.high, -mirrored.low)
    assert (found.low <= found.median).all()
    assert (found.median <= found.high).all()


@pytest.mark.slow
@pytest.mark.parametrize("count", [16, 32, 64])
def test_the_band_covers_the_complete_curve(count):
    pytest.importorskip("opda")
    counts = np.arange(1, count + 1)
    truth = 0.5 ** (1 / counts)  # the median of the largest of k uniform numbers
    draws = np.random.default_rng(count).uniform(size=(2_000, count))
    bands = [best_of_band(one, counts, "max") for one in draws]
    covered = [((band.low <= truth) & (truth <= band.high)).all() for band in bands]
    assert np.mean(covered) >= 0.938


def test_wrong_input_is_refused():
    with pytest.raises(Refusal, match="best of 9 of 8"):
        mean_best_of_subsets(_values(), [9], "min")
    with pytest.raises(Refusal, match="counts"):
        mean_best_of(_values(), [0], "min")
    with pytest.raises(Refusal, match="trials"):
        median_best_of([], [1], "min")
