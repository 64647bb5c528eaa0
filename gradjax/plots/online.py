"""What learning on is worth: errors of an online and a frozen model, event by event."""

import io
from typing import Any, NamedTuple

import numpy as np

# Colour-blind safe (Wong 2011): what learns on blue, what is frozen vermilion.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_TEXT = 14  # points: half the size is still read
_WINDOWS = 40  # windows over all events
_MAX_POINTS = 1_000  # of a curve
_SKIPPED = 0.01  # of the events: the mean of a few is noise that sets the axis


class Errors(NamedTuple):
    """Of one model."""

    label: str
    squared: np.ndarray  # f[events]: (prediction - answer)^2, in the order of time


def online(
    title: str, models: list[Errors], mark: int | None = None, mark_label: str = ""
) -> bytes:
    """Draws the RMSE of all events so far, thick, and that of each window, thin.

    Args:
      title: above the figure.
      models: one or more, over the same events.
      mark: the event from which on a split counts: a vertical line; None: no line.
      mark_label: what the line says.

    Returns:
      A PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.6), dpi=100, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)  # pyright: ignore
    figure.suptitle(title, fontsize=_TEXT + 1)
    axes: Any = figure.subplots()
    for color, one in zip(_COLORS, models, strict=False):
        _draw(axes, one, color)
    if mark is not None:
        axes.axvline(mark, color="black", ls=(0, (4, 4)), lw=1.6, label=mark_label)
    axes.set(xlim=(0, len(models[0].squared)))
    axes.set_xlabel("ratings met since the split, in the order of time", fontsize=_TEXT)
    width = max(1, len(models[0].squared) // _WINDOWS)
    said = f"RMSE of all so far (thin: of {width:,} in turn)"
    axes.set_ylabel(said, fontsize=_TEXT)
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
    axes.plot(counts[shown], so_far[shown], color=color, lw=2.8, label=one.label)
    starts = np.unique(np.linspace(0, num_events, _WINDOWS, endpoint=False).astype(int))
    ends = np.append(starts[1:], num_events)
    means = np.add.reduceat(squared, starts) / (ends - starts)
    axes.plot((starts + ends) / 2, np.sqrt(means), color=color, lw=1.0, alpha=0.5)
