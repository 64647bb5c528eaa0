"""What several seeds of one program say together."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradjax.types import Result, Series

_MAX_POINTS = 1_000  # of a stored curve


def stacked(results: Sequence[Result], name: str) -> Series | None:
    """A curve of every trial: values f32[trials, points]; None if there is no such one.

    The values of a trial that ended early end in NaN.
    """
    if name not in results[0].trace:
        return None
    curves = [result.trace[name] for result in results]
    return Series(curves[0].steps, np.stack([curve.values for curve in curves]))


def thinned(series: Series) -> Series:
    """Means over the shortest equal windows that leave at most 1,000 points.

    Args:
      series: values f[trials, points]. A window has the steps of its last point; the
        last window may be shorter.
    """
    count = series.values.shape[1]
    every = -(-count // _MAX_POINTS)
    if every == 1:
        return series
    starts = np.arange(0, count, every)
    ends = np.minimum(starts + every, count)
    sums = np.add.reduceat(np.asarray(series.values, np.float64), starts, axis=1)
    means = (sums / (ends - starts)).astype(np.float32)
    return Series(np.asarray(series.steps)[ends - 1], means)


def last(results: Sequence[Result], name: str) -> float | None:
    """The last value of a curve, the mean over trials; None: no such curve, or end."""
    if is_diverged(results) or name not in results[0].trace:
        return None
    return float(np.mean([one.trace[name].values[-1] for one in results]))


def training_loss(results: Sequence[Result], step: int) -> float | None:
    """The mean over trials and over the last tenth of the first `step` steps.

    A mini-batch's loss is a sample of the loss over all data: one alone says little.
    None where a trial diverged.
    """
    if is_diverged(results):
        return None
    part = slice(step - max(1, step // 10), step)
    return float(np.mean([one.trace["loss"].values[part] for one in results]))


def figures(
    results: Sequence[Result], num_steps: int, timed: Sequence[Result]
) -> dict[str, Any]:
    """What the trials came to, ready for JSON; None where there is no such figure.

    Args:
      results: one a trial.
      num_steps: of every trial, where it does not diverge.
      timed: the trials, and maybe more runs of the same program: the fastest of them
        says what a step costs, compiling and evaluation apart.
    """
    step_s = min(one.run_s / one.num_steps for one in timed)
    taken = sum(one.num_steps for one in results)
    return {
        "steps": num_steps,
        "diverged": is_diverged(results),
        "training_loss": training_loss(results, num_steps),
        "validation_loss": last(results, "validation_loss"),
        "validation_accuracy": last(results, "validation_accuracy"),
        "step_s": step_s,
        "gradients_per_s": sum(one.num_gradients for one in results) / taken / step_s,
    }


def is_diverged(results: Sequence[Result]) -> bool:
    """Whether any trial did."""
    return any(one.status == "diverged" for one in results)
