import numpy as np
import pytest

from gradjax.analysis.departures import EDGE, doubts, rules
from gradjax.records.outcomes import places
from gradjax.types import Series
from gradjax.types.comparisons import Metric, Outcome

EMPTY = Series(np.empty(0), np.empty(0))
LOSS = Metric("loss", "min")
ACCURACY = Metric("test_accuracy", "max", 360, "validation_accuracy")


def _runs(optimizer, gradients, seeds=range(10, 15), rate=0.1, tried=(0.01, 0.1, 1.0)):
    fresh = [
        Outcome("p", optimizer, "fresh", seed, {"learning_rate": rate}, 0.9, EMPTY, 100)
        for seed in seeds
    ]
    search = [
        Outcome("p", optimizer, "search", 0, {"learning_rate": one}, 0.9, EMPTY, 100)
        for one in tried
    ]
    return [one._replace(num_gradients=gradients) for one in (*fresh, *search)]


def _kept(outcomes, metric=ACCURACY):
    return [(one.is_kept, one.detail) for one in rules(outcomes, metric)]


def test_a_fair_comparison_keeps_every_rule():
    fair = [*_runs("adam", 100), *_runs("sgd", 101)]
    assert _kept(fair) == [(True, "")] * 8


def test_each_departure_is_named_with_its_figures():
    unfair = [
        *_runs("adam", 100, seeds=[0, 11, 12], rate=1.0),
        *_runs("sam", 200, tried=(0.01, 0.1, 1.0, 2.0)),
    ]
    unfair[0] = unfair[0]._replace(chosen_at="p, 50 gradients")
    found = _kept(unfair, Metric("validation_loss", "min"))
    assert [kept for kept, _ in found] == [False] * 8
    said = [detail for _, detail in found]
    equal = "the budgets are equal in steps, not in gradients"
    assert said[0] == f"{equal}: adam 100; sam 200"
    assert said[1] == "adam 3; sam 4"
    assert said[2] == "adam: learning_rate"
    assert said[3] == "chosen by validation loss, compared by validation loss"
    assert said[4] == "adam 3"
    assert said[5] == "not common to all: those of adam, sam"
    assert said[6] == "0"
    assert said[7] == "the settings of adam were chosen on p, 50 gradients"


def test_what_is_not_known_is_said():
    runs = [one for one in _runs("adam", 0) if one.role == "fresh"]
    assert [kept for kept, _ in _kept(runs)][:4] == [None] * 4
    searched = _kept(_runs("adam", 100), Metric("train_loss", "min"))
    assert searched[3] == (None, "the problem has no other split than train")


def test_steps_of_one_example_concern_accuracies_alone():
    runs = _runs("adam", 100)
    fresh = [one for one in runs if one.role == "fresh"]
    assert "less than one of 360 examples" in " ".join(doubts(fresh, ACCURACY, runs))
    loss = Metric("test_loss", "min", 360)
    assert "less than one of" not in " ".join(doubts(fresh, loss, runs))


def test_seeds_of_a_problem_without_randomness_are_one_run():
    own = _runs("adam", 100)
    said = "All seeds gave the same value"
    assert any(
        one.startswith(said) for one in doubts(own[:5], Metric("loss", "min"), own)
    )
    varied = [one._replace(value=0.9 + one.seed / 100) for one in own[:5]]
    assert not any(one.startswith(said) for one in doubts(varied, ACCURACY, own))


def test_the_edge_is_that_of_the_declared_range_where_it_is_known():
    """The largest of a few tried rates may lie far inside its declared range."""
    space = [{"name": "learning_rate", "kind": "log", "low": 1e-4, "high": 1e2}]
    row = {"learning_rate": 1.0, "optimizer": "adam"}
    assert places(space, row)["learning_rate"] == pytest.approx(2 / 3)
    at = places(space, row | {"learning_rate": 1e2 / 10**0.29})["learning_rate"]
    assert (
        at
        > 1 - EDGE
        > places(space, row | {"learning_rate": 1e2 / 10**0.31})["learning_rate"]
    )
    listed = [{"name": "b1", "kind": "choice", "values": [0.9, 0, 0.5], "low": None}]
    assert places(listed, {"b1": 0.5, "optimizer": "adam"}) == {"b1": 0.5}
    runs = _runs("adam", 100, rate=1.0)
    inside = [one._replace(places={"learning_rate": 0.7}) for one in runs]
    outside = [one._replace(places={"learning_rate": 0.97}) for one in runs]
    declared = "The best setting does not lie in the outermost 5 % of its declared"
    found = [rules(own, ACCURACY)[2] for own in (inside, outside, runs)]
    assert [one.detail for one in found] == ["", *2 * ["adam: learning_rate"]]
    assert [one.text.startswith(declared) for one in found] == [True, True, False]
    mixed = rules([*inside, *_runs("sgd", 100, rate=1.0)], ACCURACY)[2]
    assert mixed.detail == "sgd: learning_rate (at the edge of what was tried)"
    (said,) = [
        one
        for one in doubts(outside[:5], LOSS, outside)
        if "edge" in one or "5 %" in one
    ]
    assert (
        said
        == "The best learning_rate lies in the outermost 5 % of its declared range."
    )
