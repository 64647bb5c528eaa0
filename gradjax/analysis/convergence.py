"""The end of a descent: it has converged, or it has diverged."""

from typing import NamedTuple

import numpy as np


class Ending(NamedTuple):
    """The step at which a descent ended, and the reason."""

    step: int
    reason: str  # "gradient", "loss" or "diverged"


def end_step(
    loss: np.ndarray,
    gradient_norm: np.ndarray,
    gradient_tolerance: float,
    loss_tolerance: float,
    patience: int,
) -> Ending | None:
    """Returns the first step at which a descent has ended; None if it has not.

    It has converged at step k if one of these conditions holds at each of the
    `patience` points up to and including k:

        |g_k| < gradient_tolerance
        |f_k - f_(k-1)| < loss_tolerance max(1, |f_k|)

    It has diverged at the first point whose loss or gradient norm is not finite. One
    point alone does not show convergence: with momentum a descent crosses the bottom of
    a valley at full speed, and the loss hardly changes where an oscillation turns.

    Args:
      loss: f[points], at the start and after each step.
      gradient_norm: f[points], at the same points.
      gradient_tolerance: the bound of the norm; 0 is never met.
      loss_tolerance: the bound of the change of the loss in a step; 0 is never met.
      patience: the number of successive points, at least 1.
    """
    is_far = ~(np.isfinite(loss) & np.isfinite(gradient_norm))
    with np.errstate(invalid="ignore", over="ignore"):
        change = np.abs(np.diff(loss)) / np.maximum(1.0, np.abs(loss[1:]))
        is_flat = gradient_norm < gradient_tolerance
        is_same = np.concatenate([[False], change < loss_tolerance])
    ends = [
        Ending(int(step), reason)
        for reason, steps in (
            ("diverged", np.flatnonzero(is_far)[:1]),
            ("gradient", _last_of_a_row(is_flat, patience)[:1]),
            ("loss", _last_of_a_row(is_same, patience)[:1]),
        )
        for step in steps
    ]
    return min(ends, key=lambda end: end.step, default=None)


def _last_of_a_row(holds: np.ndarray, length: int) -> np.ndarray:
    """Returns every index at which the last `length` values are all True."""
    count = np.concatenate([[0], np.cumsum(holds)])
    return np.flatnonzero(count[length:] - count[:-length] == length) + length - 1
