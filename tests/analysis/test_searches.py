import numpy as np

from gradjax.analysis.searches import searched
from gradjax.types import Series
from gradjax.types.comparisons import Outcome

EMPTY = Series(np.empty(0), np.empty(0))


def _trial(rate, value, search="random", role="search"):
    one = Outcome("p", "adam", role, 0, {"learning_rate": rate}, value, EMPTY)
    return one._replace(search=search)


def test_seeds_of_one_setting_are_one_value_in_the_order_of_the_search():
    trials = [_trial(0.1, 1.0), _trial(0.01, 4.0), _trial(0.1, 3.0)]
    found = searched([*trials, _trial(0.1, 9.0, role="fresh")])["adam"]
    assert found.values.tolist() == [2.0, 4.0]
    assert [one["learning_rate"] for one in found.settings] == [0.1, 0.01]
    assert [len(one) for one in found.trials] == [2, 1]
    assert found.is_uniform


def test_a_diverged_seed_leaves_a_setting_without_a_value():
    found = searched([_trial(0.1, 1.0, "halton"), _trial(0.1, np.nan, "halton")])
    assert np.isnan(found["adam"].values).tolist() == [True]
    assert not found["adam"].is_uniform
    assert searched([_trial(0.1, 1.0), _trial(0.1, 1.0, "grid")])["adam"].method == ""
