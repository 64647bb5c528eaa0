"""When the learning curves of trials reach a target."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradjax.analysis.time_to_target import TimeToTarget, time_to_target
from gradjax.types.comparisons import Metric, Outcome


class Target(NamedTuple):
    """The value that counts as solved, and where it comes from."""

    value: float  # of the metric that chooses
    origin: str  # a clause, as in "the target of the problem"
    is_given: bool  # known before the runs, so that a test against it is valid


class Arrival(NamedTuple):
    """Whether and when one trial reached the target."""

    time: float  # until then, or until the end of the longest run; NaN: not known
    is_reached: bool


def target_of(
    outcomes: Sequence[Outcome], metric: Metric, baseline: str | None
) -> Target | None:
    """Returns the target of a problem: the given one, or what the baseline reaches.

    Args:
      outcomes: trials of one problem.
      metric: has the given target.
      baseline: the optimizer whose median end is the target if none is given.

    Returns:
      The target; None without a given one, without a baseline, or if half of the seeds
      of the baseline diverged.
    """
    if metric.target is not None:
        return Target(metric.target, "the given target", True)
    ends = [
        float(one.curve.values[-1])
        if len(one.curve.values) and not one.diverged_step and not one.failure
        else np.nan
        for one in outcomes
        if one.role == "fresh" and one.optimizer == baseline
    ]
    ranked = np.nan_to_num(ends, nan=np.inf if metric.direction == "min" else -np.inf)
    if not len(ends) or not np.isfinite(value := float(np.median(ranked))):
        return None
    return Target(value, f"the median end of {baseline}", False)


def unit_of(trials: Sequence[Outcome]) -> str:
    """Returns the unit in which all trials of a table are measured.

    One unit for all of them, because times in different units do not compare.

    Args:
      trials: of all optimizers on one problem.

    Returns:
      "gradients" if those of every trial that took a step are known, else "steps".
    """
    ran = _ran(trials)
    return "gradients" if all(one.num_gradients > 0 for one in ran) else "steps"


def have_seconds(trials: Sequence[Outcome]) -> bool:
    """Returns whether the seconds of every trial that took a step are known."""
    ran = _ran(trials)
    return bool(ran) and all(np.isfinite(one.seconds) for one in ran)


def spent(one: Outcome, unit: str) -> float:
    """Returns what a trial has spent; 0 or NaN if it is not known.

    Args:
      one: the trial.
      unit: "steps", "gradients" or "seconds".
    """
    counts = {"steps": one.steps, "gradients": one.num_gradients}
    return float(counts.get(unit, one.seconds))


def arrivals(
    trials: Sequence[Outcome],
    target: Target,
    direction: str,
    unit: str = "gradients",
    horizon: float = 0.0,
) -> list[Arrival]:
    """Finds when each of some trials reached a target.

    The gradients and the seconds of a run are spread equally over its steps. A run that
    diverged, failed or stopped before it reached the target counts as if it had gone on
    until the end of the longest run, and not arrived.

    Args:
      trials: of one optimizer, with their curves.
      target: a value of the metric of the curves.
      direction: "min" or "max".
      unit: of the times, "gradients", "seconds" or "steps".
      horizon: what the longest run of all optimizers has spent, for a trial that took
        no step.

    Returns:
      One arrival per trial.
    """
    longest = max((one.steps for one in trials), default=0)
    found = []
    for one in trials:
        values = np.asarray(one.curve.values, np.float64)
        is_met = (
            values <= target.value if direction == "min" else values >= target.value
        )
        is_reached = bool(is_met.any())
        step = one.curve.steps[is_met.argmax()] if is_reached else longest
        time = float(step) * spent(one, unit) / one.steps if one.steps else horizon
        found.append(Arrival(time, is_reached))
    return found


def summary(found: Sequence[Arrival]) -> TimeToTarget | None:
    """Summarises arrivals; None if there are none, or if a time is not known."""
    times = [one.time for one in found]
    if not times or not all(np.isfinite(time) and time > 0 for time in times):
        return None
    return time_to_target(times, [one.is_reached for one in found])


def _ran(trials: Sequence[Outcome]) -> list[Outcome]:
    """Returns the trials that took a step."""
    return [one for one in trials if one.steps and not one.failure]
