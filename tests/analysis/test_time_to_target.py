import numpy as np
import pytest

from gradjax.analysis.time_to_target import study_time, time_to_target
from gradjax.errors import Refusal


def test_without_censoring_it_is_the_median_and_the_mean():
    found = time_to_target([4.0, 1.0, 3.0], [True] * 3)
    assert found == (3.0, pytest.approx(8 / 3), pytest.approx(8 / 3), 3, 3)


def test_a_censored_run_counts_until_its_end():
    # S: 1 until 1, 3/4 until 3 (one of three at risk there), 3/8 ... by hand.
    found = time_to_target([1.0, 2.0, 3.0, 4.0], [True, False, True, False])
    assert found.median == 3.0
    assert found.restricted_mean == pytest.approx(1 + 0.75 * 2 + 0.375 * 1)
    assert found.expected == 10.0 / 2
    assert (found.num_reached, found.num_runs) == (2, 4)


def test_if_few_arrive_there_is_no_median():
    found = time_to_target([1.0, 5.0, 5.0, 5.0], [True, False, False, False])
    assert found.median == np.inf
    assert found.restricted_mean == 1 + 0.75 * 4
    assert time_to_target([5.0], [False]).expected == np.inf


def test_a_study_takes_its_fastest_trial_and_the_result_is_the_median_study():
    times = [
        5,
        9,
        3,
        np.inf,
        7,
        np.inf,
        np.inf,
        np.inf,
        np.inf,
        np.inf,
        4,
        4,
        4,
        4,
        8,
        1,
    ]
    assert study_time(times) == 4.0  # studies 3, inf, 4; the sixteenth is not used
    with pytest.raises(Refusal, match="14 trials: 3 studies of 5 need 15"):
        study_time(times[:14])


def test_wrong_times_are_refused():
    for times, reached in (([], []), ([1.0], [True, False]), ([np.inf], [False])):
        with pytest.raises(Refusal):
            time_to_target(times, reached)
