"""Windows of a training curve: each point is the mean over some steps."""

import numpy as np

from gradjax.training.blocks import num_blocks
from gradjax.types import Plan

MAX_POINTS = 1_000  # of a training curve, unless `trace_every` is given


def default_every(plan: Plan) -> int:
    """Returns the steps per point: a curve has at most 1,000, or one per block."""
    points = max(1, MAX_POINTS // num_blocks(plan))  # per block
    return -(-plan.block_steps // points)


def window_starts(plan: Plan, every: int, first: int, count: int) -> np.ndarray:
    """Returns the steps, from 0, at which the windows of blocks start: i64[points].

    A window never crosses the end of a block, so the windows are the same however a run
    is cut into segments.
    """
    block = np.arange(first, first + count)[:, None] * plan.block_steps
    starts = (block + np.arange(0, plan.block_steps, every)).ravel()
    return starts[starts < plan.num_steps]


def window_ends(plan: Plan, every: int, first: int, count: int) -> np.ndarray:
    """Returns the number of steps taken at the end of each window: i64[points]."""
    stop = min((first + count) * plan.block_steps, plan.num_steps)
    return np.append(window_starts(plan, every, first, count)[1:], stop)


def window_means(
    values: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Computes the mean over each window: f32[rows, steps] to f32[rows, points].

    Sums are in float64, because the sum of losses that are about to diverge overflows
    in float32.
    """
    if len(starts) == values.shape[1]:
        return values
    with np.errstate(over="ignore", invalid="ignore"):  # of trials that diverge
        sums = np.add.reduceat(values.astype(np.float64), starts - starts[0], axis=1)
        return (sums / (ends - starts)).astype(values.dtype)
