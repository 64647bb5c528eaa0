"""The comparison of optimizers over several problems: profiles and ranks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradjax.analysis.arrivals import arrivals, summary
from gradjax.analysis.comparison import Table
from gradjax.analysis.horizons import budget_of
from gradjax.analysis.profiles import algoperf_score, profile_integral, time_ratios
from gradjax.analysis.ranks import Ranks, ranks, worst_if_diverged
from gradjax.analysis.time_to_target import study_time
from gradjax.types.comparisons import Outcome

_TRIALS, _STUDIES = 5, 3  # of AlgoPerf's rule


class Profiles(NamedTuple):
    """Performance profiles of optimizers, from times to target on several problems."""

    ratios: np.ndarray  # f64[optimizers, problems] to the fastest; inf: never reached
    integral: np.ndarray  # f64[optimizers], exact
    score: np.ndarray  # f64[optimizers], by AlgoPerf's trapezoid of 100 points


class Across(NamedTuple):
    """The comparison over all problems on which the same optimizers have run."""

    optimizers: tuple[str, ...]
    problems: tuple[str, ...]
    left_out: tuple[str, ...]  # optimizers that are missing on a problem
    times: np.ndarray | None  # f64[optimizers, problems], the median time to target;
    # None if a problem has no target, or an optimizer no curves on it
    times_note: str  # why there are no times; "": there are
    unit: str  # of the times, one on each problem: "gradients", "steps" or both
    profiles: Profiles | None  # of the tuned settings on fresh seeds
    study_profiles: Profiles | None  # by AlgoPerf's rule, from the trials of the search
    study_note: str  # why the rule does not apply; "": it does
    ranks: Ranks  # of the medians at the end


def across(tables: Sequence[Table]) -> Across | None:
    """Compares the optimizers that ran on every problem, over all problems.

    Args:
      tables: one per problem, budget and metric; of a problem with several metrics the
        first one counts, of several budgets the longest, because runs of one problem
        are not independent.

    Returns:
      The comparison; None below 2 problems or 2 common optimizers.
    """
    chosen = _one_for_each_problem(tables)
    known = [{row.optimizer for row in table.rows} for table in chosen]
    if len(chosen) < 2 or len(common := set.intersection(*known)) < 2:
        return None
    names = tuple(row.optimizer for row in chosen[0].rows if row.optimizer in common)
    times, times_note = _times(chosen, names)
    study_times, note = _study_times(chosen, names)
    return Across(
        names,
        tuple(table.problem for table in chosen),
        tuple(sorted(set.union(*known) - common)),
        times,
        times_note,
        " or ".join(sorted({table.unit for table in chosen})),
        None if times is None else _profiles(times),
        None if study_times is None else _profiles(study_times),
        note,
        _ranks(chosen, names),
    )


def _one_for_each_problem(tables: Sequence[Table]) -> list[Table]:
    """Returns of each problem the first table with its longest budget."""
    found: dict[str, tuple[int, Table]] = {}
    for table in tables:
        name, length, _ = budget_of(table.problem) or (table.problem, 0, "")
        if name not in found or length > found[name][0]:
            found[name] = length, table
    return [table for _, table in found.values()]


def _profiles(times: np.ndarray) -> Profiles:
    ratios = time_ratios(times)
    return Profiles(ratios, profile_integral(ratios), algoperf_score(ratios))


def _times(
    tables: Sequence[Table], names: Sequence[str]
) -> tuple[np.ndarray | None, str]:
    """Returns the median times to target, or None and the reason."""
    times = np.empty((len(names), len(tables)))
    for k, table in enumerate(tables):
        if table.target is None:
            return None, f"{table.problem} has no target"
        rows = {row.optimizer: row for row in table.rows}
        for i, name in enumerate(names):
            found = summary(rows[name].arrivals)
            if found is None:
                return None, f"the curves of {name} on {table.problem} are not known"
            times[i, k] = found.median
    return times, ""


def _study_times(
    tables: Sequence[Table], names: Sequence[str]
) -> tuple[np.ndarray | None, str]:
    """Returns AlgoPerf's times from the trials of the searches, or why there are none.

    A setting counts with its first seed.
    """
    needed = _TRIALS * _STUDIES
    times = np.empty((len(names), len(tables)))
    for k, table in enumerate(tables):
        if table.target is None:
            return None, f"{table.problem} has no target"
        for i, name in enumerate(names):
            of = table.searches.get(name)
            trials = [seeds[0] for seeds in of.trials] if of else []
            if len(trials) < needed:
                said = f"{name} has {len(trials)} on {table.problem}"
                return None, f"it needs {needed} trials of each optimizer, and {said}"
            if not all(
                len(one.curve.values) for one in trials if not one.diverged_step
            ):
                return None, f"the curves of {name} on {table.problem} are not stored"
            times[i, k] = _study_time(trials, table)
    return times, ""


def _study_time(trials: Sequence[Outcome], table: Table) -> float:
    assert table.target is not None
    unit = table.unit
    direction, horizon = table.metric.direction, table.horizon(unit)
    found = arrivals(trials, table.target, direction, unit, horizon)
    reached = [one.time if one.is_reached else np.inf for one in found]
    return study_time(reached, _TRIALS, _STUDIES)


def _ranks(tables: Sequence[Table], names: Sequence[str]) -> Ranks:
    """Ranks the medians; all metrics are turned so that smaller values are better."""
    values = np.empty((len(names), len(tables)))
    for k, table in enumerate(tables):
        rows = {row.optimizer: row for row in table.rows}
        own = np.array([rows[name].median for name in names])
        values[:, k] = own if table.metric.direction == "min" else -own
    return ranks(worst_if_diverged(values, "min"), "min")
