"""The best rate of a geometric grid, found by a search that ends inside the grid."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

_MOST = 24  # rates that a search tries before it gives up


class Searched(NamedTuple):
    """The rates of a grid that were tried.

    Attributes:
      losses: place on the grid -> f[seeds], the losses of the rate 2 ** place; NaN or
        inf where a run diverged.
      best: the place with the smallest score; None: every run diverged.
      is_inside: whether rates on both sides of the best one were tried, and are worse.
    """

    losses: dict[int, np.ndarray]
    best: int | None
    is_inside: bool


def score(losses: np.ndarray) -> float:
    """Returns the geometric mean of the losses of the seeds; inf if one diverged."""
    if not np.isfinite(losses).all():
        return float("inf")
    return float(np.exp(np.mean(np.log(losses))))


def search(
    measure: Callable[[list[int]], Mapping[int, np.ndarray]],
    start: int,
    reach: int = 1,
) -> Searched:
    """Searches the best rate on the grid 2 ** place, for a whole number `place`.

    The rates up to `reach` places from the best known one are tried, until it is the
    best of them. So the best rate is never at the edge of those that were tried.

    Args:
      measure: places -> the losses f[seeds] of each, above 0.
      start: the first place.
      reach: places that are tried on each side of the best.
    """
    losses: dict[int, np.ndarray] = {}
    best = start
    while len(losses) < _MOST:
        around = range(best - reach, best + reach + 1)
        new = [place for place in around if place not in losses]
        if not new:
            break
        losses |= measure(new)
        finite = {k: score(one) for k, one in losses.items()}
        best = min(finite, key=lambda k: (finite[k], k))
        if not np.isfinite(finite[best]):  # diverged everywhere: go to smaller rates
            best = min(losses) - reach
    losses = dict(sorted(losses.items()))
    found = best if best in losses and np.isfinite(score(losses[best])) else None
    is_inside = found is not None and {found - 1, found + 1} <= losses.keys()
    return Searched(losses, found, is_inside)


def shift(best: Mapping[int, int]) -> int:
    """Returns the largest difference of the places of the best rates of all widths."""
    return max(best.values()) - min(best.values())
