"""Losses of several batch sizes over epochs, steps, examples and seconds."""

import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from gradjax.plots.labels import plain
from gradjax.types import Series

# Colour-blind safe colours (Wong 2011) without yellow.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MAX_SIZES = len(_COLORS)
_TEXT = 14  # points, still readable at half the size
_MOST = 3.0  # larger multiples of the first loss are outside the axis


class Trained(NamedTuple):
    """The results of one batch size; the values of a diverged trial end in NaN."""

    loss: Series  # f[trials, steps]: the loss of each step's batch before the step
    validation_loss: Series | None  # f[trials, epochs]; None: there is no such split
    batch_size: int
    epoch_steps: int  # steps of one pass over the train split
    step_s: float  # measured seconds per step
    is_exact: bool  # whether a batch is the complete data, so its loss is exact


def batch_sizes(title: str, trained: Mapping[str, Trained]) -> bytes:
    """Draws losses over epochs, steps, examples seen and seconds.

    Over epochs, the training loss is the mean over each epoch. Over the other axes, the
    loss of mini-batches is the mean over windows of a tenth of the steps so far. With
    several trials a line shows the mean, and a band the range of the trials.

    Args:
      title: the title of the figure.
      trained: label -> results, at most 7, in the order of the legend.

    Returns:
      A PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 11), dpi=100, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)  # pyright: ignore
    figure.suptitle(plain(title), fontsize=_TEXT + 2)
    panels = figure.subplots(2, 2)
    lines = [
        _draw_size(panels.ravel(), one, color)
        for color, one in zip(_COLORS, trained.values(), strict=False)
    ]
    limits = _limits(list(trained.values()))
    names = ("epochs", "steps", "examples seen", "seconds of training")
    for axes, name in zip(panels.ravel(), names, strict=True):
        _style(axes, name, limits)
    _legend_of_splits(panels[0, 0], list(trained.values()))
    figure.legend(
        lines,
        [plain(label) for label in trained],
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=_TEXT,
        title="batch size",
        title_fontsize=_TEXT,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()


def over_epochs(series: Series, epoch_steps: int) -> Series:
    """Averages over each epoch: values f[trials, epochs], at the middle, in epochs."""
    starts = np.arange(0, len(series.steps), epoch_steps)
    means = _means(series, starts)
    return Series((means.steps - 1.0) / epoch_steps, means.values)


def over_windows(series: Series) -> Series:
    """Averages over windows of a tenth of the steps so far, placed at their middle."""
    starts, count = [0], len(series.steps)
    while (start := starts[-1] + max(1, starts[-1] // 10)) < count:
        starts.append(start)
    return _means(series, np.array(starts))


def _means(series: Series, starts: np.ndarray) -> Series:
    """Averages over windows that begin at `starts`: values f[trials, windows]."""
    values = np.atleast_2d(np.asarray(series.values, np.float64))
    lengths = np.diff(np.append(starts, values.shape[1]))
    steps = np.add.reduceat(np.asarray(series.steps, np.float64), starts) / lengths
    return Series(steps, np.add.reduceat(values, starts, axis=1) / lengths)


def _draw_size(panels: Any, one: Trained, color: str) -> Any:
    """Draws one batch size into all four panels; returns a line for the legend."""
    epochs, steps, examples, seconds = panels
    line = _draw(epochs, over_epochs(one.loss, one.epoch_steps), color)
    if one.validation_loss is not None:
        held_out = one.validation_loss
        passed = np.asarray(held_out.steps) / one.epoch_steps
        _draw(epochs, Series(passed, held_out.values), color, style=(0, (2, 1.5)))
    seen = one.loss if one.is_exact else over_windows(one.loss)
    count = np.asarray(seen.steps, np.float64)
    _draw(steps, Series(count, seen.values), color)
    _draw(examples, Series(count * one.batch_size, seen.values), color)
    _draw(seconds, Series(count * one.step_s, seen.values), color)
    return line


def _draw(axes: Any, series: Series, color: str, style: Any = "-") -> Any:
    trials = _finite(series)
    if len(trials) > 1:
        low, high = trials.min(axis=0), trials.max(axis=0)
        axes.fill_between(series.steps, low, high, color=color, alpha=0.2, lw=0)
    (line,) = axes.plot(
        series.steps,
        trials.mean(axis=0),
        color=color,
        ls=style,
        lw=2.4,
        marker="o" if len(series.steps) < 3 else None,
    )
    return line


def _finite(series: Series) -> np.ndarray:
    """Returns the values f64[trials, points], with NaN where they are not finite."""
    trials = np.atleast_2d(np.asarray(series.values, np.float64))
    return np.where(np.isfinite(trials), trials, np.nan)


def _limits(trained: list[Trained]) -> tuple[float, float]:
    """Returns the range of the averaged losses up to 3 times the first, widened."""
    seen = [over_windows(one.loss) for one in trained]
    seen += [one.validation_loss for one in trained if one.validation_loss is not None]
    values = np.concatenate([_finite(series).ravel() for series in seen])
    first = max(float(np.nanmax(_finite(one.loss)[:, 0])) for one in trained)
    values = values[(values > 0.0) & (values <= _MOST * first)]
    low, high = float(values.min(initial=first)), float(values.max(initial=first))
    room = max(high / low, 2.0) ** 0.06
    return low / room, high * room


def _style(axes: Any, name: str, limits: tuple[float, float]) -> None:
    is_epochs = name == "epochs"
    axes.set(xscale="linear" if is_epochs else "log", yscale="log", ylim=limits)
    if is_epochs:
        axes.set_xlim(0, None)
        axes.xaxis.get_major_locator().set_params(integer=True)
    elif axes.get_xlim()[1] > 10.0 * axes.get_xlim()[0]:
        axes.xaxis.set_minor_formatter("")  # labels of powers of ten are enough
    axes.set_xlabel(name, fontsize=_TEXT)
    axes.set_ylabel("loss" if is_epochs else "training loss", fontsize=_TEXT)
    axes.tick_params(labelsize=_TEXT - 1, which="both")
    axes.grid(visible=True, lw=0.4, alpha=0.6)


def _legend_of_splits(axes: Any, trained: list[Trained]) -> None:
    """Draws a legend of training and validation, if there is a validation loss."""
    if all(one.validation_loss is None for one in trained):
        return
    axes.plot([], [], color="#666666", lw=2.4, label="training, mean of each epoch")
    axes.plot([], [], color="#666666", lw=2.4, ls=(0, (2, 1.5)), label="validation")
    axes.legend(frameon=False, fontsize=_TEXT - 1)
