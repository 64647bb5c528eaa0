"""What several runs of one program say together: they differ in their seed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradjax.records.save import thinned as thinned_one
from gradjax.types import Result, Series


def stacked(results: Sequence[Result], name: str) -> Series | None:
    """A curve of every trial; None: the runs have no such curve.

    Returns:
      Its values f32[trials, points]; those of a trial that ended early end in NaN.
    """
    if name not in results[0].trace:
        return None
    curves = [result.trace[name] for result in results]
    longest = max(curves, key=lambda curve: len(curve.steps))
    rows = np.full((len(curves), len(longest.steps)), np.nan, np.float32)
    for row, curve in zip(rows, curves, strict=True):
        row[: len(curve.values)] = curve.values
    return Series(longest.steps, rows)


def thinned(series: Series) -> Series:
    """As `records.save.thinned`, of f[trials, points]: at most 1,000 points of each."""
    rows = [thinned_one(Series(series.steps, row)) for row in series.values]
    return Series(rows[0].steps, np.stack([row.values for row in rows]))


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
