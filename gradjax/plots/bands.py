"""The median and the range of several curves."""

from typing import NamedTuple

import numpy as np


class Band(NamedTuple):
    """The median and the range of curves at the steps where any of them is known."""

    steps: np.ndarray  # i64[points]
    low: np.ndarray  # f[points]
    median: np.ndarray
    high: np.ndarray


def band(steps: np.ndarray, curves: np.ndarray) -> Band:
    """Computes the median and the range of curves at each step.

    Args:
      steps: i64[points].
      curves: f[curves, points]; a value that is not finite is not known.
    """
    finite = np.where(np.isfinite(curves), curves, np.nan)
    is_seen = ~np.isnan(finite).all(axis=0)
    known = finite[:, is_seen]
    if not is_seen.any():  # numpy warns of a median without points
        return Band(steps[:0], known[0], known[0], known[0])
    return Band(
        steps[is_seen],
        np.nanmin(known, axis=0),
        np.nanmedian(known, axis=0),
        np.nanmax(known, axis=0),
    )
