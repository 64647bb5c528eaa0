"""A schedule before and after gradient descent on its numbers, and the gain."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from gradjax.plots.labels import plain
from gradjax.types import Series

# Colour-blind safe colours (Wong 2011); the learned schedule is vermilion.
_COLORS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00")
_LEARNED = "#D55E00"
_TEXT = 14  # points, still readable at half the size


def schedule_gradient(
    title: str,
    rates: Mapping[str, Series],
    descent: Series,
    fresh: Mapping[str, Any],
    loss_name: str = "loss",
) -> bytes:
    """Draws the rates over a run, the loss over outer steps, and losses of fresh seeds.

    Args:
      title: the title of the figure.
      rates: label -> the learning rate over steps, f[points]; the learned one is last.
      descent: the losses over outer steps, values f[trials, outer].
      fresh: label -> losses f[trials] with seeds that the descent did not use, the same
        seeds in the same order for every label; the learned one is last.
      loss_name: the label of the two axes of loss.

    Returns:
      A PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16.4, 6.0), dpi=100, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)  # pyright: ignore
    figure.suptitle(plain(title), fontsize=_TEXT + 2)
    axes = figure.subplots(1, 3, width_ratios=(5, 4, 4))
    _draw_rates(axes[0], rates)
    _draw_descent(axes[1], descent, loss_name)
    _draw_fresh(axes[2], fresh, loss_name)
    for panel in axes:
        panel.title.set_fontsize(_TEXT)
        panel.xaxis.label.set_fontsize(_TEXT)
        panel.yaxis.label.set_fontsize(_TEXT)
        panel.tick_params(labelsize=_TEXT - 1)
        panel.grid(visible=True, lw=0.4, alpha=0.6)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()


def _draw_rates(axes: Any, rates: Mapping[str, Series]) -> None:
    """Draws the rates as lines; the learned one is thick and shows its points."""
    last = 1.0
    for (label, (steps, values)), color in zip(
        rates.items(), _colors(len(rates)), strict=True
    ):
        is_learned = color == _LEARNED
        last = max(last, float(steps[-1]))
        axes.plot(
            steps,
            values,
            color=color,
            lw=3.0 if is_learned else 2.4,
            ls="-" if is_learned else "--",
            marker="o" if is_learned and len(steps) <= 40 else None,
            ms=6,
            zorder=3 if is_learned else 2,
            clip_on=False,
            label=plain(label),
        )
    axes.set(xlabel="step", ylabel="learning rate")
    axes.set(xlim=(-0.02 * last, 1.02 * last), ylim=(0, None))
    axes.set_title("the schedule, before and after")
    axes.legend(frameon=False, fontsize=_TEXT - 1)


def _draw_descent(axes: Any, descent: Series, loss_name: str) -> None:
    """Draws a thin line for each seed, and a thick one for the mean."""
    steps, trials = np.asarray(descent.steps), np.atleast_2d(descent.values)
    for losses in trials if len(trials) > 1 else ():
        axes.plot(steps, losses, color=_LEARNED, lw=0.8, alpha=0.4)
    axes.plot(
        steps,
        trials.mean(axis=0),
        color=_LEARNED,
        lw=3.0,
        label=f"mean of {len(trials)} seeds" if len(trials) > 1 else "one seed",
    )
    best = int(trials.mean(axis=0).argmin())
    axes.plot(
        steps[best],
        trials.mean(axis=0)[best],
        marker="o",
        ms=9,
        mfc="white",
        mec=_LEARNED,
        mew=2.2,
        ls="",
        label="kept",
        clip_on=False,
        zorder=4,
    )
    axes.set(xlabel="outer step", ylabel=plain(loss_name), xlim=(0, max(1, steps[-1])))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_title("gradient descent on the schedule")
    axes.legend(frameon=False, fontsize=_TEXT - 1)


def _draw_fresh(axes: Any, fresh: Mapping[str, Any], loss_name: str) -> None:
    """Draws a dot per seed, joined between schedules, and a bar for the mean."""
    table = np.stack([np.asarray(losses, float) for losses in fresh.values()])
    table = np.where(np.isfinite(table), table, np.nan)
    places = np.arange(len(table))
    axes.plot(places, table, color="#999999", lw=0.8, alpha=0.5)
    for place, losses, color in zip(places, table, _colors(len(table)), strict=True):
        axes.plot(
            np.full(len(losses), place), losses, "o", color=color, ms=5, alpha=0.6
        )
        axes.hlines(losses.mean(), place - 0.3, place + 0.3, color=color, lw=4.5)
    labels = [plain(label) for label in fresh]
    look = {"rotation": 20, "ha": "right"} if max(map(len, labels)) > 12 else {}
    axes.set_xticks(places, labels, **look)
    axes.set(ylabel=plain(loss_name), xlim=(-0.5, len(table) - 0.5))
    axes.set_title(f"{table.shape[1]} fresh seeds: each, and the mean")


def _colors(count: int) -> list[str]:
    return [*(_COLORS[k % len(_COLORS)] for k in range(count - 1)), _LEARNED]
