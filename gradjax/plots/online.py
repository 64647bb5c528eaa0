"""The errors of a model that is trained online and of a frozen one, over the events."""

import io
from typing import Any, NamedTuple

import numpy as np

from gradjax.plots.labels import plain

# Colour-blind safe colours (Wong 2011): online blue, frozen vermilion.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_TEXT = 14  # points, still readable at half the size
_WINDOWS = 40  # windows over all events
_MAX_POINTS = 1_000  # the most points of a curve
_SKIPPED = 0.01  # share of the first events without a point: means of few are noisy


class Errors(NamedTuple):
    """The errors of one model."""

    label: str
    squared: np.ndarray  # f[events]: (prediction - answer)^2, in the order of time


def online(
    title: str, models: list[Errors], mark: int | None = None, mark_label: str = ""
) -> bytes:
    """Draws the RMSE over all events so far, thick, and over each window, thin.

    Args:
      title: the title of the figure.
      models: one or more, over the same events.
      mark: the first event of a split, marked by a vertical line; None: no line.
      mark_label: the label of the line.

    Returns:
      A PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.6), dpi=100, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)  # pyright: ignore
    figure.suptitle(plain(title), fontsize=_TEXT + 1)
    axes: Any = figure.subplots()
    for color, one in zip(_COLORS, models, strict=False):
        _draw(axes, one, color)
    if mark is not None:
        axes.axvline(
            mark, color="black", ls=(0, (4, 4)), lw=1.6, label=plain(mark_label)
        )
    axes.set(xlim=(0, len(models[0].squared)))
    axes.set_xlabel("ratings since the split, in the order of time", fontsize=_TEXT)
    width = max(1, len(models[0].squared) // _WINDOWS)
    ylabel = f"RMSE of all ratings so far (thin: in windows of {width:,})"
    axes.set_ylabel(ylabel, fontsize=_TEXT)
    axes.xaxis.set_major_formatter(lambda at, _: f"{at:,.6g}")
    axes.tick_params(labelsize=_TEXT - 1)
    axes.grid(visible=True, lw=0.4, alpha=0.6)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=2,
        frameon=False,
        fontsize=_TEXT - 1,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()


def _draw(axes: Any, one: Errors, color: str) -> None:
    squared = np.asarray(one.squared, np.float64)
    num_events = len(squared)
    counts = np.arange(1, num_events + 1)
    so_far = np.sqrt(np.cumsum(squared) / counts)
    first = int(num_events * _SKIPPED)
    shown = np.unique(np.linspace(first, num_events - 1, _MAX_POINTS).astype(int))
    axes.plot(counts[shown], so_far[shown], color=color, lw=2.8, label=plain(one.label))
    starts = np.unique(np.linspace(0, num_events, _WINDOWS, endpoint=False).astype(int))
    ends = np.append(starts[1:], num_events)
    means = np.add.reduceat(squared, starts) / (ends - starts)
    axes.plot((starts + ends) / 2, np.sqrt(means), color=color, lw=1.0, alpha=0.5)
