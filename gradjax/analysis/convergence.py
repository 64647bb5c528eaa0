"""When a descent is over: nothing changes any more, or it has left for infinity."""

from typing import NamedTuple

import numpy as np


class Ending(NamedTuple):
    """Why a descent stopped, and after how many steps."""

    step: int
    reason: str  # "gradient", "loss" or "diverged"


def ending(
    loss: np.ndarray,
    gradient_norm: np.ndarray,
    gradient_tolerance: float,
    loss_tolerance: float,
    patience: int,
) -> Ending | None:
    """The first step at which a descent is over; None: it goes on.

    It stands still at step k when one of these has held at each of the last `patience`
    points, k the last of them:

        |g_k| < gradient_tolerance
        |f_k - f_(k-1)| < loss_tolerance max(1, |f_k|)

    One such point alone proves nothing: with momentum, the bottom of a valley is
    crossed at full speed, and where an oscillation turns the loss hardly changes.

    Args:
      loss: f[points], at the start and after each step.
      gradient_norm: f[points], at the same points.
      gradient_tolerance: of the norm; 0 is never met.
      loss_tolerance: of the change of the loss over a step; 0 is never met.
      patience: how many points in a row, at least 1.
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
    """Every index at which the last `length` values are all True."""
    count = np.concatenate([[0], np.cumsum(holds)])
    return np.flatnonzero(count[length:] - count[:-length] == length) + length - 1
