"""The pictures of a run or a sweep, drawn from its results."""

from typing import Any

import numpy as np

from gradjax.plots.curves import curves, trials
from gradjax.plots.sensitivity import Points, sensitivity
from gradjax.report.summary import Winner
from gradjax.sweeps import choose
from gradjax.sweeps.choose import GroupResult, SettingScore, TrialScore
from gradjax.types import Examples, Series


def of_run(
    title: str, won: Winner, epoch_steps: int | None, examples: Examples | None
) -> dict[str, bytes]:
    """Draws curves.png, the curves of every seed.

    Args:
      title: the title of the figure.
      won: the trials to draw.
      epoch_steps: steps of one pass over the train split; None: the axis counts steps.
      examples: images with predictions, drawn beside the curves.

    Returns:
      File name -> PNG.
    """
    traces = [
        {name: _until_end(s, k) for name, s in of.found.trace.items()}
        for of, k in won.rows
    ]
    return {"curves.png": curves(title, traces, epoch_steps, examples)}


def of_sweep(done: list[GroupResult]) -> dict[str, bytes]:
    """Draws curves.png of all trials, and sensitivity.png over the first swept number.

    Returns:
      File name -> PNG.
    """
    pictures = {"curves.png": trials(*_all_curves(done))}
    settings = choose.setting_scores([one for of in done for one in of.scores])
    name = _swept_number(settings)
    if name is not None:
        sweeps = {
            optimizer: points
            for optimizer, own in choose.by_optimizer(settings).items()
            if (points := _points(own, name)) is not None
        }
        title = f"{sum(len(s.trials) for s in settings):,} trials"
        loss = "validation loss"
        pictures["sensitivity.png"] = sensitivity(title, sweeps, name, loss)
    return pictures


def _until_end(series: Series, k: int) -> Series:
    """Returns the curve of trial `k` without the NaN after its end."""
    values = series.values[k]
    known = np.flatnonzero(~np.isnan(values))
    end = known[-1] + 1 if known.size else 0
    return Series(series.steps[:end], values[:end])


def _swept_number(settings: list[SettingScore]) -> str | None:
    """Returns the first swept positive number that takes several values."""
    for name in settings[0].point:
        found = [s.point.get(name) for s in settings]
        seen = {value for value in found if isinstance(value, float)}
        if None in found:
            continue
        if len(seen) > 1 and min(seen) > 0.0:
            return name
    return None


def _points(own: list[SettingScore], name: str) -> Points | None:
    """Returns the losses of the best setting at each value of a number."""
    best: dict[float, SettingScore] = {}
    for one in own:
        value = float(one.point[name])
        if value not in best or one.score < best[value].score:
            best[value] = one
    values = sorted(best)
    seeds = min(len(one.trials) for one in best.values())
    losses = np.asarray(
        [[_loss(of) for of in best[value].trials[:seeds]] for value in values]
    )
    return Points(np.asarray(values), losses.T) if len(values) > 1 else None


def _loss(of: TrialScore) -> float:
    split = "validation" if "validation" in of.evaluation else "train"
    value = of.evaluation[split].get("loss", np.nan)
    return value if np.isfinite(value) else np.inf


def _all_curves(done: list[GroupResult]) -> tuple[Any, ...]:
    """Returns (steps, loss f[trials, points], rates f[trials], name) of all groups."""
    name = "validation_loss" if "validation_loss" in done[0].found.trace else "loss"
    shortest = min(len(one.found.trace[name].steps) for one in done)
    steps = done[0].found.trace[name].steps[:shortest]
    losses = [one.found.trace[name].values[:, :shortest] for one in done]
    rates = [
        float(one.numbers.get("learning_rate", np.nan))
        for of in done
        for one in of.trials
    ]
    return steps, np.concatenate(losses), np.asarray(rates), name.replace("_", " ")
