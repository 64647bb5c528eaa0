import numpy as np
import pytest

from gradjax.analysis.tuned_verdicts import describe_tuned, tuned_verdicts


def _losses(shift, num_trials=20, seed=0):
    return np.random.default_rng(seed).exponential(1.0, num_trials) + shift


def test_a_search_that_is_ahead_in_enough_trials_is_better():
    values = {"mine": _losses(0.0), "adam": _losses(5.0, seed=1)}
    (found,) = tuned_verdicts(values, [("mine", "adam")], "min")
    assert found.word == "better"
    assert found.interval.low > 0
    assert found.num_trials == (20, 20)
    assert describe_tuned(found).startswith("better by 5.03 [4.7")
    (mirrored,) = tuned_verdicts(values, [("adam", "mine")], "min")
    assert describe_tuned(mirrored) == describe_tuned(found).replace("better", "worse")
    turned = {name: -one for name, one in values.items()}
    (again,) = tuned_verdicts(turned, [("mine", "adam")], "max")
    assert again.interval == pytest.approx(found.interval)


def test_alike_searches_cannot_be_told_apart_and_holm_corrects_the_family():
    values = {name: _losses(0.0, seed=k) for k, name in enumerate("abcd")}
    pairs = [(name, "a") for name in "bcd"]
    found = tuned_verdicts(values, pairs, "min")
    assert {one.word for one in found} == {"cannot be told apart"}
    alone = [tuned_verdicts(values, [pair], "min")[0].p_value for pair in pairs]
    assert min(one.p_value for one in found) == pytest.approx(min(1, 3 * min(alone)))
    assert describe_tuned(found[0]).startswith("cannot be told apart: ")


def test_a_search_without_a_trial_that_ended_has_no_difference():
    values = {"a": np.full(8, np.nan), "b": _losses(0.0, 8)}
    (found,) = tuned_verdicts(values, [("a", "b")], "min")
    assert found.word == "worse"
    assert describe_tuned(found) == "worse: a search has no trial that ended"
    (found,) = tuned_verdicts({"a": [np.nan], "b": [np.nan]}, [("a", "b")], "max")
    assert found.word == "cannot be told apart"
