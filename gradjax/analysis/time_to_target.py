"""Gradients or seconds until a target is met, with runs that never met it.

A run that ends before the target is censored: its time is known to be more than what it
spent. Leaving it out would favour an optimizer that seldom arrives.
"""

from typing import Any, NamedTuple

import numpy as np

from gradjax.errors import Refusal


class TimeToTarget(NamedTuple):
    """The distribution of the time to a target over seeds."""

    median: float  # Kaplan-Meier; inf if fewer than half of the runs arrived
    restricted_mean: float  # mean of min(time, horizon)
    expected: float  # time spent by all runs per arrival; inf without an arrival
    num_reached: int
    num_runs: int


def time_to_target(times: Any, is_reached: Any) -> TimeToTarget:
    """Summarises times to a target, some of which are censored.

    The median and the restricted mean are those of Kaplan and Meier's estimate S(t) of
    the share of runs that have not arrived by t: the first t with S(t) <= 1/2, and the
    integral of S from 0 to the longest time. The expected running time is the time
    spent by all runs, divided by the number of those that arrived.

    Args:
      times: f64[runs], gradients or seconds, positive: until the target was met, or
        until the end of a run that did not meet it.
      is_reached: bool[runs].

    Returns:
      The summary.

    Raises:
      Refusal: shapes that differ, no runs, or a time that is not positive and finite.

    Source:
      Kaplan and Meier, JASA 53, 1958 (`scipy.stats.ecdf`); the expected running time is
      that of COCO, Hansen et al., 2016, arXiv:1603.08785.
    """
    times, is_reached = np.asarray(times, float), np.asarray(is_reached, bool)
    if times.ndim != 1 or not times.size or times.shape != is_reached.shape:
        raise Refusal(
            f"times of shape {times.shape} and is_reached of shape {is_reached.shape}; "
            "expected [runs] for both"
        )
    if not (np.isfinite(times) & (times > 0)).all():
        raise Refusal("times must be positive and finite; a censored run has its end")
    from scipy import stats

    curve = stats.ecdf(stats.CensoredData.right_censored(times, ~is_reached)).sf
    at, share = curve.quantiles, curve.probabilities
    below = share <= 0.5 + 1e-12
    starts = np.concatenate([[0.0], at])
    lengths = np.diff(np.concatenate([starts, [times.max()]]))
    return TimeToTarget(
        median=float(at[below.argmax()]) if below.any() else np.inf,
        restricted_mean=float(lengths @ np.concatenate([[1.0], share])),
        expected=float(times.sum() / is_reached.sum()) if is_reached.any() else np.inf,
        num_reached=int(is_reached.sum()),
        num_runs=times.size,
    )


def study_time(times: Any, num_trials: int = 5, num_studies: int = 3) -> float:
    """Computes AlgoPerf's time of an optimizer from independent trials.

    The trials are divided in their order into studies. A study takes the time of its
    fastest trial, and the result is the median over the studies.

    Args:
      times: f64[trials], inf where a trial missed the target; the first num_trials x
        num_studies are used.
      num_trials: trials of a study.
      num_studies: studies.

    Returns:
      The time; inf if the median study missed the target.

    Raises:
      Refusal: too few trials.

    Source:
      Dahl et al., 2023, arXiv:2306.07179, section 4.4.
    """
    times = np.asarray(times, np.float64)
    wanted = num_trials * num_studies
    if times.ndim != 1 or times.size < wanted:
        raise Refusal(
            f"{times.size} trials: {num_studies} studies of {num_trials} need {wanted}"
        )
    studies = times[:wanted].reshape(num_studies, num_trials)
    return float(np.median(studies.min(axis=1)))
