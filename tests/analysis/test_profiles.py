import numpy as np
import pytest

from gradjax.analysis.profiles import (
    algoperf_score,
    profile,
    profile_integral,
    time_ratios,
)
from gradjax.errors import Refusal

# Two optimizers on four problems; nobody meets the last target.
TIMES = np.array([[10.0, 30.0, np.inf, np.inf], [20.0, 15.0, 8.0, np.inf]])


def test_ratios_and_profile_by_hand():
    ratios = time_ratios(TIMES)
    np.testing.assert_array_equal(ratios, [[1, 2, np.inf, np.inf], [2, 1, 1, np.inf]])
    np.testing.assert_array_equal(
        profile(ratios, [1.0, 1.99, 2.0, 100.0]),
        [[0.25, 0.25, 0.5, 0.5], [0.5, 0.5, 0.75, 0.75]],
    )


def test_the_integral_by_hand():
    # max(0, (4 - r) / 3): 1, 2/3, 0, 0 and 2/3, 1, 1, 0.
    expected = [(1 + 2 / 3) / 4, (2 / 3 + 2) / 4]
    np.testing.assert_allclose(profile_integral(time_ratios(TIMES)), expected)


def test_the_integral_and_algoperfs_trapezoid_of_eight_workloads():
    ratios = np.array([[1, 1.2, 2.5, np.inf, 3.99, 1, 1.7, np.inf]])
    assert profile_integral(ratios)[0] == pytest.approx(0.525417, abs=1e-6)
    assert algoperf_score(ratios)[0] == pytest.approx(0.525253, abs=1e-6)


def test_wrong_times_are_refused():
    for times, words in (([1.0], "optimizers, problems"), ([[np.nan]], "positive")):
        with pytest.raises(Refusal, match=words):
            time_ratios(times)
    with pytest.raises(Refusal, match="max_ratio=1"):
        profile_integral([[1.0]], 1.0)
