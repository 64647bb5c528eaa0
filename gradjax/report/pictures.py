"""The pictures of a run or a sweep, drawn from its results."""

from typing import Any

import numpy as np

from gradjax import optimizers
from gradjax.plots import hyperparameters as hyperparameter
from gradjax.plots.curves import curves
from gradjax.plots.hyperparameters import hyperparameters
from gradjax.plots.sensitivity import Points, sensitivity
from gradjax.plots.sweep_curves import Panel, sweep_curves
from gradjax.report.summary import Winner
from gradjax.sweeps import choose, names
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
    ends = [int(of.found.diverged_step[k]) for of, k in won.rows]
    lost = sorted({end for end in ends if end})
    if lost:
        said = " to ".join(f"{step:,}" for step in sorted({lost[0], lost[-1]}))
        count = sum(end > 0 for end in ends)
        of_all = "" if len(ends) == 1 else f" {count} of {len(ends)} seeds"
        title = f"{title}:{of_all} diverged at step {said}"
    return {"curves.png": curves(title, traces, epoch_steps, examples)}


def of_sweep(title: str, done: list[GroupResult]) -> dict[str, bytes]:
    """Draws curves.png of all trials, and sensitivity.png over the swept numbers.

    If one number is swept, sensitivity.png is a line over it for each optimizer;
    otherwise it is a panel of points for each optimizer and number.

    Args:
      title: what is trained and for how long.
      done: the groups of the search.

    Returns:
      File name -> PNG.
    """
    settings = choose.setting_scores([one for of in done for one in of.scores])
    own = choose.by_optimizer(settings)
    num_trials = sum(len(one.trials) for one in settings)
    title = f"{title}: {num_trials:,} trials"
    pictures = {"curves.png": _curves_of_sweep(title, done, own)}
    numbers = {name: swept_numbers(of) for name, of in own.items()}
    swept = {name for own_names in numbers.values() for name in own_names}
    if len(swept) > 1:
        rows = [_panels(name, of, numbers[name]) for name, of in own.items()]
        rows = [row for row in rows if row]
        pictures["sensitivity.png"] = hyperparameters(title, rows, _loss_words(done))
    elif swept:
        pictures |= _over_one_number(title, own, swept.pop(), _loss_words(done))
    return pictures


def swept_numbers(settings: list[SettingScore]) -> list[str]:
    """Returns the paths of the numbers that take several values in these settings."""
    found = []
    for name in _numbers(settings[0]):
        values = {_numbers(one).get(name) for one in settings}
        if len(values) > 1 and all(map(choose.is_number, values)):
            found.append(name)
    return found


def _numbers(one: SettingScore) -> dict[str, Any]:
    """Returns path -> value of what varies; one number has one path in all spaces."""
    optimizer = str(one.point.get("optimizer", one.optimizer))
    return dict(
        names.number_of(name, value, optimizer)
        if choose.is_number(value)
        else (name, value)
        for name, value in one.point.items()
    )


def _over_one_number(
    title: str,
    own: dict[str, list[SettingScore]],
    name: str,
    ylabel: str,
) -> dict[str, bytes]:
    """Draws the losses of each optimizer as a line over the only swept number."""
    sweeps = {
        optimizer: points
        for optimizer, of in own.items()
        if name in swept_numbers(of) and (points := _points(of, name)) is not None
    }
    if not sweeps:
        return {}
    return {"sensitivity.png": sensitivity(title, sweeps, names.words(name), ylabel)}


def _panels(
    optimizer: str, own: list[SettingScore], numbers: list[str]
) -> list[hyperparameter.Panel]:
    """Returns a panel for each swept number of an optimizer."""
    chosen = choose.best(own)
    best = None if chosen is None else own.index(chosen)
    losses = np.array([np.mean([_loss(of) for of in one.trials]) for one in own])
    return [
        hyperparameter.Panel(
            optimizer,
            names.words(name),
            np.array([float(_numbers(one)[name]) for one in own]),
            losses,
            best,
        )
        for name in numbers
    ]


def _curves_of_sweep(
    title: str, done: list[GroupResult], own: dict[str, list[SettingScore]]
) -> bytes:
    """Draws the curves of each optimizer, coloured by the learning rate if it varies.

    If the rate does not vary, the first swept number colours them.
    """
    curve = "validation_loss" if "validation_loss" in done[0].found.trace else "loss"
    rows = {
        one.id: (of.found.trace[curve], k)
        for of in done
        for k, one in enumerate(of.trials)
    }
    swept = [name for of in own.values() for name in swept_numbers(of)]
    number = optimizers.RATE if optimizers.RATE in swept else next(iter(swept), None)
    panels = [_panel(name, of, number, rows) for name, of in own.items()]
    said = None if number is None else names.words(number)
    return sweep_curves(title, panels, said, curve.replace("_", " "))


def _panel(
    optimizer: str,
    own: list[SettingScore],
    number: str | None,
    rows: dict[str, tuple[Series, int]],
) -> Panel:
    """Returns the trials of one optimizer, with their curves."""
    trials = [(one, rows[of.trial.id]) for one in own for of in one.trials]
    shortest = min(len(series.steps) for _, (series, _) in trials)
    first, _ = trials[0][1]
    chosen = choose.best(own)
    return Panel(
        optimizer,
        np.asarray(first.steps[:shortest]),
        np.stack([series.values[k, :shortest] for _, (series, k) in trials]),
        np.array([_number_of(one, number) for one, _ in trials]),
        np.array([one is chosen for one, _ in trials]),
    )


def _number_of(one: SettingScore, name: str | None) -> float:
    value = _numbers(one).get(name) if name is not None else None
    return float(value) if choose.is_number(value) else np.nan


def _loss_words(done: list[GroupResult]) -> str:
    evaluation = done[0].found.evaluation
    return "validation loss" if "validation" in evaluation else "training loss"


def _until_end(series: Series, k: int) -> Series:
    """Returns the curve of trial `k` without the NaN after its end."""
    values = series.values[k]
    known = np.flatnonzero(~np.isnan(values))
    end = known[-1] + 1 if known.size else 0
    return Series(series.steps[:end], values[:end])


def _points(own: list[SettingScore], name: str) -> Points | None:
    """Returns the losses of the best setting at each value of a number."""
    best: dict[float, SettingScore] = {}
    for one in own:
        value = float(_numbers(one)[name])
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
