import numpy as np
import pytest

from gradjax.analysis.across import across
from gradjax.analysis.comparison import compare
from gradjax.types import Series
from gradjax.types.comparisons import Metric, Outcome

STEPS = np.arange(10, 110, 10)
LOSS = Metric("loss", "min", target=0.5)


def _table(problem, arrivals, num_trials=15, metric=LOSS):
    """A table in which each optimizer meets the target at a given step."""
    outcomes = []
    for name, at in arrivals.items():
        curve = Series(STEPS, np.where(at <= STEPS, 0.4, 0.6))
        one = Outcome(
            problem, name, "fresh", 0, {}, float(curve.values[-1]), curve, 100
        )
        one = one._replace(num_gradients=100)
        outcomes += [one._replace(seed=seed) for seed in range(3)]
        outcomes += [
            one._replace(role="search", setting={"learning_rate": k})
            for k in range(num_trials)
        ]
    return compare(outcomes, metric)


def test_profiles_scores_and_ranks_of_two_problems():
    tables = [_table("p", {"a": 10, "b": 20}), _table("q", {"a": 40, "b": np.inf})]
    found = across(tables)
    assert found is not None
    assert found.optimizers == ("a", "b")
    assert found.unit == "gradients"
    np.testing.assert_array_equal(found.times, [[10, 40], [20, np.inf]])
    assert found.profiles is not None
    np.testing.assert_allclose(found.profiles.integral, [1, (4 - 2) / 3 / 2])
    np.testing.assert_allclose(found.profiles.score, [1, 1 / 3], atol=0.01)
    assert found.study_profiles is not None
    np.testing.assert_array_equal(found.study_profiles.ratios, found.profiles.ratios)
    assert found.ranks.mean.tolist() == [1.25, 1.75]


def test_the_rule_of_three_studies_needs_fifteen_trials():
    tables = [_table(problem, {"a": 10, "b": 20}, 14) for problem in "pq"]
    found = across(tables)
    assert found is not None
    assert found.study_profiles is None
    said = "it needs 15 trials of each optimizer, and a has 14 on p"
    assert found.study_note == said


def test_a_problem_without_a_target_leaves_ranks_alone():
    open_ended = _table("q", {"a": 10, "b": 20}, metric=Metric("loss", "min"))
    found = across([_table("p", {"a": 10, "b": 20}), open_ended])
    assert found is not None
    assert found.profiles is None
    assert found.study_note == "q has no target"
    assert found.ranks.mean == pytest.approx([1.5, 1.5])


def test_optimizers_that_are_missing_on_a_problem_are_left_out():
    tables = [_table("p", {"a": 10, "b": 20, "c": 10}), _table("q", {"a": 10, "b": 20})]
    found = across(tables)
    assert found is not None
    assert found.left_out == ("c",)
    assert across(tables[:1]) is None
    assert across([tables[0], _table("q", {"a": 10})]) is None


def test_budgets_of_one_problem_are_no_independent_problems():
    labels = [f"{name}, {count} gradients" for name in "pq" for count in (100, "1,000")]
    tables = [_table(label, {"a": 10, "b": 20}) for label in labels]
    found = across(tables)
    assert found is not None
    assert found.problems == ("p, 1,000 gradients", "q, 1,000 gradients")
    assert across(tables[:2]) is None
