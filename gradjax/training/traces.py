"""From what steps and evaluations report to the curves of a Result, on the host."""

from typing import Any

import jax
import numpy as np

from gradjax.training.blocks import num_blocks
from gradjax.types import Plan, Series, StepInfo

MAX_POINTS = 1_000  # of a training curve that is kept, where nothing else is asked for


def window(infos: list[StepInfo]) -> dict[str, np.ndarray]:
    """What the steps since the last evaluation reported, [steps] each; one transfer."""
    parts = [
        {"loss": info.loss, "learning_rate": info.learning_rate, **info.aux}
        for info in jax.device_get(infos)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def window_means(window: dict[str, np.ndarray]) -> dict[str, float]:
    """The mean of each curve over the window."""
    # In float64: a sum of losses about to diverge overflows a float32.
    return {
        name: float(values.mean(dtype=np.float64)) for name, values in window.items()
    }


def training_series(windows: list[dict[str, np.ndarray]]) -> dict[str, Series]:
    """One point a step, from 1 on."""
    curves = {name: np.concatenate([w[name] for w in windows]) for name in windows[0]}
    count = np.arange(1, len(curves["loss"]) + 1, dtype=np.int32)
    return {name: Series(count, values) for name, values in curves.items()}


def evaluation_series(means: list[tuple[int, dict[str, float]]]) -> dict[str, Series]:
    """One point an evaluation: (steps taken, what was seen)."""
    taken = np.asarray([step for step, _ in means], np.int32)
    with np.errstate(over="ignore"):  # a loss in float64 that diverges is infinite here
        return {
            name: Series(taken, np.asarray([s[name] for _, s in means], np.float32))
            for name in means[0][1]
        }


def usual_every(plan: Plan) -> int:
    """The shortest windows that leave at most 1,000 points, or one point a block."""
    points = max(1, MAX_POINTS // num_blocks(plan))  # a block
    return -(-plan.block_steps // points)


def window_starts(plan: Plan, every: int, first: int, count: int) -> np.ndarray:
    """The steps, from 0, at which the windows of some blocks start: i64[points].

    A window ends with its block, so it is the same in stretches of any length.
    """
    block = np.arange(first, first + count)[:, None] * plan.block_steps
    starts = (block + np.arange(0, plan.block_steps, every)).ravel()
    return starts[starts < plan.num_steps]


def window_ends(plan: Plan, every: int, first: int, count: int) -> np.ndarray:
    """The steps taken, at which they end: i64[points]."""
    stop = min((first + count) * plan.block_steps, plan.num_steps)
    return np.append(window_starts(plan, every, first, count)[1:], stop)


def windowed(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The mean over each window of a stretch: f32[rows, steps] to f32[rows, points]."""
    if len(starts) == values.shape[1]:
        return values
    with np.errstate(over="ignore", invalid="ignore"):  # of trials that diverge
        wide = values.astype(np.float64)
        sums = np.add.reduceat(wide, starts - starts[0], axis=1)
        return (sums / (ends - starts)).astype(np.float32)


def diverged_step(loss: Series, params: Any) -> int | None:
    """The first step with a non-finite loss; the last, if it left such parameters."""
    diverged = np.flatnonzero(~np.isfinite(loss.values))
    if diverged.size:
        return int(loss.steps[diverged[0]])
    is_finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    return None if is_finite else int(loss.steps[-1])


def num_gradients(trace: dict[str, Series], per_step: int) -> int:
    """Gradients spent: counted where they vary by step, as in a line search."""
    if "num_gradients" in trace:
        return int(trace["num_gradients"].values.sum(dtype=np.float64))
    return per_step * len(trace["loss"].values)
