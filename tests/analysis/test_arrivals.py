import numpy as np
import pytest

from gradjax.analysis.arrivals import (
    Target,
    arrivals,
    have_seconds,
    summary,
    target_of,
    unit_of,
)
from gradjax.analysis.comparison import compare
from gradjax.pages.cells import row_cells
from gradjax.types import Series
from gradjax.types.comparisons import Metric, Outcome

STEPS = np.array([10, 20, 30])
TARGET = Target(0.5, "the given target", True)


def _run(values, steps=30, **more):
    curve = Series(STEPS[: len(values)], np.array(values))
    end = values[-1] if not more.get("diverged_step") else np.nan
    own = Outcome("p", "adam", "fresh", 0, {}, end, curve, steps)
    return own._replace(**{"num_gradients": 2 * steps, **more})


def test_a_run_arrives_at_the_first_evaluation_that_meets_the_target():
    run = _run([0.9, 0.4, 0.6], seconds=60.0)
    (found,) = arrivals([run], TARGET, "min")
    assert found == (40.0, True)
    (found,) = arrivals([run], TARGET, "min", unit="seconds")
    assert found == (40.0, True)
    (found,) = arrivals([_run([0.1, 0.4, 0.6])], TARGET, "max")
    assert (found.time, found.is_reached) == (60.0, True)


def test_a_diverged_run_counts_as_not_arrived_at_the_end_of_the_longest():
    lost = _run([0.9], steps=12, diverged_step=12)
    found = arrivals([_run([0.9, 0.8, 0.7]), lost], TARGET, "min")
    assert [one.is_reached for one in found] == [False, False]
    assert [one.time for one in found] == [60.0, 60.0]
    told = summary(found)
    assert told is not None
    assert (told.num_reached, told.num_runs, told.median) == (0, 2, np.inf)


def test_trials_that_took_no_step_count_until_the_horizon():
    never = _run([0.9])._replace(steps=0, diverged_step=1, num_gradients=1)
    never = never._replace(curve=Series(np.empty(0), np.empty(0)))
    (found,) = arrivals([never], TARGET, "min", horizon=30)
    assert (found.time, found.is_reached) == (30, False)


def test_without_gradients_times_are_steps_and_without_seconds_not_known():
    unknown = _run([0.4], num_gradients=0)
    unit = unit_of([unknown])
    assert (unit, arrivals([unknown], TARGET, "min", unit)[0].time) == ("steps", 10)
    assert summary(arrivals([_run([0.4])], TARGET, "min", unit="seconds")) is None
    assert summary([]) is None


def test_one_unit_is_decided_for_all_trials_of_a_table():
    known = _run([0.9, 0.4], seconds=6.0)
    unknown = _run([0.9, 0.4], num_gradients=0)._replace(optimizer="sgd")
    never = known._replace(steps=0, num_gradients=0, seconds=np.nan)
    assert unit_of([known, never]) == "gradients" and have_seconds([known, never])
    assert unit_of([known, unknown]) == "steps" and not have_seconds([known, unknown])
    table = compare([known, unknown], Metric("loss", "min", target=0.5))
    assert [row.arrivals[0].time for row in table.rows] == [20, 20]
    cells = [row_cells(row, table) for row in table.rows]
    assert [one["seconds_to_target"] for one in cells] == [None, None]
    both = compare([known, known._replace(optimizer="sgd")], table.metric)
    cells = [row_cells(row, both) for row in both.rows]
    assert [one["seconds_to_target"] for one in cells] == [4.0, 4.0]
    assert [row.arrivals[0].time for row in both.rows] == [40, 40]


def test_the_target_is_the_given_one_or_what_the_baseline_reaches():
    runs = [_run([1.0, value]) for value in (0.2, 0.4, 0.3)]
    found = target_of(runs, Metric("test_loss", "min"), "adam")
    assert found == (pytest.approx(0.3), "the median end of adam", False)
    given = target_of(runs, Metric("test_loss", "min", target=0.1), "adam")
    assert given == (0.1, "the given target", True)
    assert target_of(runs, Metric("test_loss", "min"), None) is None
    lost = [one._replace(diverged_step=20) for one in runs[:2]]
    assert target_of([*lost, runs[2]], Metric("test_loss", "min"), "adam") is None
