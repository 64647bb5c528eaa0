"""Learning curves of several seeds at common steps, so that their median is defined."""

from collections.abc import Sequence

import numpy as np

from gradjax.types import Series


def on_common_steps(curves: Sequence[Series], max_points: int = 200) -> list[Series]:
    """Returns the curves of the seeds of one optimizer at steps that all share.

    Curves that were stored at the same steps keep their values; some of the points are
    left out if there are too many. The seeds of a line search spend different numbers
    of gradients, so their points have steps of their own. Then each curve is
    interpolated linearly between its own points, at equally spaced steps. A curve has
    no point before its first and none after its last, because nothing is known there.

    Args:
      curves: f64[points] each, of the seeds of one optimizer, steps ascending; some may
        have no points.
      max_points: the largest number of points of a curve, at least 2.

    Returns:
      One curve per seed, whose steps are a part of the common ones.
    """
    known = [np.asarray(one.steps, np.float64) for one in curves if len(one.steps)]
    if not known:
        return list(curves)
    union = np.unique(np.concatenate(known))
    if all(_are_shared(steps, union) for steps in known):
        kept = union[_thinned(union.size, max_points)]
        return [_at(one, kept) for one in curves]
    count = min(max_points, max(max(steps.size for steps in known), 2))
    grid = np.linspace(union[0], union[-1], count)
    return [_interpolated(one, grid) for one in curves]


def _are_shared(steps: np.ndarray, union: np.ndarray) -> bool:
    """Returns whether a curve has all common steps up to its last one."""
    return np.array_equal(steps, union[union <= steps[-1]])


def _thinned(size: int, max_points: int) -> np.ndarray:
    """Returns the places of points that are kept, with the first and the last."""
    count = min(size, max_points)
    return np.unique(np.linspace(0, size - 1, count).round().astype(int))


def _at(curve: Series, kept: np.ndarray) -> Series:
    steps, values = np.asarray(curve.steps), np.asarray(curve.values)
    chosen = np.isin(steps, kept)
    return Series(steps[chosen], values[chosen])


def _interpolated(curve: Series, grid: np.ndarray) -> Series:
    steps, values = np.asarray(curve.steps, float), np.asarray(curve.values, float)
    if not steps.size:
        return curve
    inside = grid[(grid >= steps[0]) & (grid <= steps[-1])]
    return Series(inside, np.interp(inside, steps, values))
