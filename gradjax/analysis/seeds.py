"""Figures of several trials that differ only in their seed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradjax.types import Result, Series

_MAX_POINTS = 1_000  # the most points of a stored curve


def stack(results: Sequence[Result], name: str) -> Series | None:
    """Returns a curve of all trials, values f32[trials, points]; None if it is missing.

    The values of a trial are NaN after the step at which it diverged or stopped.
    """
    if name not in results[0].trace:
        return None
    curves = [result.trace[name] for result in results]
    return Series(curves[0].steps, np.stack([curve.values for curve in curves]))


def thin(series: Series) -> Series:
    """Averages curves over the shortest equal windows that leave at most 1,000 points.

    Args:
      series: values f[trials, points].

    Returns:
      Values f32[trials, windows], at the step of the last point of each window. The
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
    """Returns the mean over trials of the last value of a curve.

    None if the curve is missing or a trial diverged.
    """
    if is_diverged(results) or name not in results[0].trace:
        return None
    return float(np.mean([one.trace[name].values[-1] for one in results]))


def training_loss(results: Sequence[Result], step: int) -> float | None:
    """Returns the mean loss over trials and the last tenth of the first `step` steps.

    The mean is taken because the loss of one mini-batch is a noisy sample of the loss
    over all data. None if a trial diverged.
    """
    if is_diverged(results):
        return None
    part = slice(step - max(1, step // 10), step)
    return float(np.mean([one.trace["loss"].values[part] for one in results]))


def figures(results: Sequence[Result], num_steps: int, step_s: float) -> dict[str, Any]:
    """Returns the results of trials that differ only in their seed, as JSON values.

    A loss or an accuracy is the mean over the trials. It is None if it was not recorded
    or if a trial diverged.

    Args:
      results: one result per trial.
      num_steps: the number of steps of a trial that does not diverge.
      step_s: seconds of a step, without compilation and evaluation.
    """
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
    """Returns whether any trial diverged."""
    return any(one.status == "diverged" for one in results)
