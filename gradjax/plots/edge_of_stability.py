"""The loss and the sharpness over steps, with the edge of stability of each rate."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjax.plots.labels import plain
from gradjax.types import Series

# Colour-blind safe colours (Wong 2011) without yellow.
_COLORS = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00", "#000000")
MAX_RATES = len(_COLORS)
_TEXT = 14  # points, still readable at half the size
_ROOM = 1.25  # the height of the axis of the sharpness, over the highest edge


class Trained(NamedTuple):
    """The trials of one optimizer; the values of a diverged trial end in NaN."""

    name: str  # of the optimizer
    measured: str  # the name of the sharpness
    rates: Sequence[float]  # [trials], at most 6 different ones
    threshold: float  # the sharpness times the learning rate at the edge
    loss: Series  # f[trials, steps], above 0
    sharpness: Series  # f[trials, measurements]


def edge_of_stability(title: str, trained: Sequence[Trained]) -> bytes:
    """Draws the training loss above the sharpness, in one column for each optimizer.

    A dashed line in the colour of a rate is its edge of stability, threshold / rate.
    Several trials of one rate have lines in the same colour. Measurements far above the
    highest edge, such as the first one of Adam, are left out.

    Args:
      title: the title of the figure.
      trained: the trials of each optimizer.

    Returns:
      A PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8), dpi=100, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)  # pyright: ignore
    figure.suptitle(plain(title), fontsize=_TEXT + 2)
    panels = figure.subplots(
        2, len(trained), squeeze=False, sharex="col", height_ratios=(2, 3)
    )
    for axes in panels[0, 1:]:
        axes.sharey(panels[0, 0])
    for (above, below), one in zip(panels.T, trained, strict=True):
        _draw_losses(above, one)
        _draw_sharpness(below, one)
    for axes in panels.ravel():
        axes.tick_params(labelsize=_TEXT - 1)
        axes.grid(visible=True, lw=0.4, alpha=0.6)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()


def _colors(one: Trained) -> dict[float, str]:
    """Returns the colour of each learning rate."""
    return dict(zip(dict.fromkeys(one.rates), _COLORS, strict=False))


def _draw_losses(axes: Any, one: Trained) -> None:
    colors = _colors(one)
    for rate, losses in zip(one.rates, _rows(one.loss), strict=True):
        axes.plot(one.loss.steps, losses, color=colors[rate], lw=1.6)
    for rate, color in colors.items():
        axes.plot([], [], color=color, lw=2.6, label=f"{rate:g}")
    axes.set_yscale("log")
    axes.set_title(plain(one.name), fontsize=_TEXT + 1)
    axes.set_ylabel("training loss", fontsize=_TEXT)
    axes.legend(
        title="learning rate",
        loc="lower left",
        frameon=False,
        fontsize=_TEXT - 1,
        title_fontsize=_TEXT - 1,
    )


def _draw_sharpness(axes: Any, one: Trained) -> None:
    """Draws the sharpness, and the edge of each rate with its value beside the axis."""
    colors, top = _colors(one), _ROOM * one.threshold / min(one.rates)
    for rate, values in zip(one.rates, _rows(one.sharpness), strict=True):
        shown = np.where(values <= top, values, np.nan)
        axes.plot(one.sharpness.steps, shown, color=colors[rate], lw=2.2)
    for rate, color in colors.items():
        edge = one.threshold / rate
        axes.axhline(edge, color=color, ls=(0, (5, 3)), lw=1.6, zorder=1)
        axes.annotate(
            f"{one.threshold:g} / {rate:g}",
            (1.0, edge),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=color,
            fontsize=_TEXT - 1,
        )
    axes.set(xlim=(0, float(one.loss.steps[-1])), ylim=(0, top))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.set_xlabel("step", fontsize=_TEXT)
    axes.set_ylabel(one.measured, fontsize=_TEXT)


def _rows(series: Series) -> np.ndarray:
    """Returns the values f64[trials, points], with NaN where they are not finite."""
    values = np.atleast_2d(np.asarray(series.values, np.float64))
    return np.where(np.isfinite(values), values, np.nan)
