"""Comparison of two optimizers as tuned: would other trials have decided otherwise?

Fresh seeds compare the two settings that tuning chose. Another search would choose
other settings, so a statement on the optimizers must repeat the tuning.
"""

from typing import Any

import numpy as np

from gradjax.analysis.ranks import worst_if_diverged
from gradjax.analysis.statistics import Interval, check_probability
from gradjax.errors import Refusal


def tuning_p_value(first: Any, second: Any, direction: str) -> float:
    """Computes the p-value of the difference between the best trials of two searches.

    If both optimizers are alike, all trials are exchangeable: each division of them
    into two searches of the same sizes is equally likely, and each search chooses its
    best trial again. The p-value is the share of divisions with a difference of at
    least the observed size. It is exact. If the j best trials belong to one optimizer
    and the next one to the other, it is at most 2^(1 - j): of 20 trials each, 5 ahead
    suffice at 5 %.

    If both searches tried the same points, their values are correlated, and the test is
    conservative.

    Args:
      first: f64[trials], the values on validation of one search; NaN: diverged.
      second: f64[trials], those of the other search.
      direction: "min" or "max".

    Returns:
      The p-value, in (0, 1].

    Raises:
      Refusal: an empty list, or another direction.

    Source:
      The permutation test of Fisher, 1935, with the difference of the best values as
      its statistic. The divisions are counted in closed form.
    """
    return _p_value(*_losses(first, second, direction))


def tuning_interval(
    first: Any, second: Any, direction: str, confidence: float = 0.95
) -> Interval:
    """Computes an interval for the difference of two optimizers after tuning.

    It holds the shifts by which the trials of the first optimizer may be moved so that
    `tuning_p_value` does not reject at the level 1 - confidence.

    Args:
      first: f64[trials], the values on validation of one search; NaN: diverged.
      second: f64[trials], those of the other search.
      direction: "min" or "max".
      confidence: the probability that the interval covers the shift.

    Returns:
      Interval(best of the first - best of the second, low, high), in the unit of the
      values. A bound is infinite if no shift is rejected on that side.
    """
    check_probability("confidence", confidence)
    ours, theirs = _losses(first, second, direction)
    if not np.isfinite([ours.min(), theirs.min()]).all():  # a search without an end
        return Interval(np.nan, -np.inf, np.inf)
    estimate = float(ours.min() - theirs.min())
    lead = _critical_lead(ours.size, theirs.size, 1 - confidence)
    # The p-value depends only on how many trials of one search are better than all of
    # the other. The bounds are the shifts beyond which this lead is rejected.
    low, high = ours.min() - _ranked(theirs, lead), _ranked(ours, lead) - theirs.min()
    if direction == "min":
        return Interval(estimate, float(low), float(high))
    return Interval(-estimate, float(-high), float(-low))


def _critical_lead(first: int, second: int, level: float) -> int:
    """Returns the least lead that is rejected; one more than all trials if none is."""
    total = first + second
    runs = _run_lengths(first, total) + _run_lengths(second, total)
    tails = np.cumsum(runs[::-1])[::-1]  # of a lead of 1, 2, ...
    rejected = np.flatnonzero(tails <= level)
    return int(rejected[0]) + 1 if rejected.size else total


def _ranked(losses: np.ndarray, rank: int) -> float:
    """Returns the loss of a rank, 1 being the best; inf beyond the number of trials."""
    return float(np.sort(losses)[rank - 1]) if rank <= losses.size else np.inf


def _p_value(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Counts the divisions of all losses whose best ones differ at least as much."""
    pooled = np.sort(np.concatenate([ours, theirs]))
    best = np.array([ours.min(), theirs.min()])
    if np.isinf(best).all():
        return 1.0
    observed = abs(best[0] - best[1])
    gaps = pooled[1:] - pooled[0]  # if the j best are in one search: gaps[j - 1]
    # The best values differ by rounding alone if a shift has made them equal.
    scale = abs(pooled[np.isfinite(pooled)]).max()
    is_reached = gaps >= observed - 1e-12 * scale
    return float(
        sum(
            _run_lengths(one, pooled.size) @ is_reached
            for one in (ours.size, theirs.size)
        )
    )


def _run_lengths(size: int, total: int) -> np.ndarray:
    """Returns the probability that exactly the j best belong to a search of this size.

    Returns:
      f64[total - 1] for j = 1, 2, ...
    """
    before = np.arange(total - 1)
    stays = np.clip(size - before, 0, None) / (total - before)
    run = np.cumprod(stays)  # the j best belong to it
    other = total - size
    return run * other / (total - before - 1)


def _losses(first: Any, second: Any, direction: str) -> tuple[np.ndarray, np.ndarray]:
    found = []
    for name, values in (("first", first), ("second", second)):
        values = worst_if_diverged(values, direction)
        if values.ndim != 1 or not values.size:
            raise Refusal(f"{name} of shape {values.shape}; expected [trials]")
        found.append(values if direction == "min" else -values)
    return found[0], found[1]
