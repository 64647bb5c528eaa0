"""Curves of a sweep: a panel for each optimizer, a band for each group of rates."""

import io
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjax.plots.bands import band
from gradjax.plots.labels import plain

_MAX_BANDS = 6  # of a panel; more would hide each other
_TEXT = 12  # points
_WIDTH, _HEIGHT = 5.2, 4.0  # of a panel, in inches


class Panel(NamedTuple):
    """The trials of one optimizer."""

    title: str
    steps: np.ndarray  # i64[points]
    curves: np.ndarray  # f[trials, points]; NaN after the end of a trial
    numbers: (
        np.ndarray
    )  # f[trials], what colours the curves; NaN: it has no such number
    is_chosen: np.ndarray  # bool[trials], the seeds of the setting that was chosen


def sweep_curves(
    title: str, panels: Sequence[Panel], number: str | None, ylabel: str
) -> bytes:
    """Draws the median and the range of the curves of each group of trials.

    The trials of a panel are grouped by their number: with up to six different values
    each is a group, otherwise the groups have equally many values. A trial that
    diverged counts until its end.

    Args:
      title: the title of the figure.
      panels: one per optimizer.
      number: the words of the number, such as "learning rate"; None: no number varies,
        and each panel has one group.
      ylabel: the name of the curves.

    Returns:
      A PNG. The seeds of the chosen setting have a black median.
    """
    from matplotlib import colormaps, colors
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    size = (_WIDTH * columns + 0.8, _HEIGHT * rows + 0.5)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    figure.suptitle(plain(title), fontsize=_TEXT + 2)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    known = np.concatenate([panel.numbers for panel in panels])
    known = known[np.isfinite(known)]
    scale = None
    if number is not None and len(set(known)) > 1:
        is_log = (known > 0).all()
        make = colors.LogNorm if is_log else colors.Normalize
        scale = ScalarMappable(make(known.min(), known.max()), colormaps["viridis"])
    limits = _limits(panels)
    for axes, panel in zip(grid, panels, strict=False):
        _draw(axes, panel, scale)
        axes.set_title(plain(panel.title), fontsize=_TEXT)
        axes.set_xlabel("step", fontsize=_TEXT)
        axes.grid(visible=True, which="both", lw=0.3, alpha=0.6)
        if limits is not None:
            axes.set(yscale="log", ylim=limits)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[::columns]:
        axes.set_ylabel(plain(ylabel), fontsize=_TEXT)
    marked = [axes for axes in grid if axes.get_legend_handles_labels()[0]]
    for axes in marked[:1]:
        axes.legend(frameon=False, fontsize=_TEXT - 1)
    if scale is not None:
        bar = figure.colorbar(scale, ax=list(grid))
        bar.set_label(plain(number or ""), fontsize=_TEXT)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()


def groups(numbers: np.ndarray) -> list[np.ndarray]:
    """Returns the rows of each group of trials, by ascending number.

    Args:
      numbers: f[trials]; trials without a number (NaN) are one group.
    """
    known = np.unique(numbers[np.isfinite(numbers)])
    if not known.size:
        return [np.arange(numbers.size)]
    parts = np.array_split(known, min(known.size, _MAX_BANDS))
    return [np.flatnonzero(np.isin(numbers, part)) for part in parts]


def _draw(axes: Any, panel: Panel, scale: Any) -> None:
    for rows in groups(panel.numbers):
        middle = float(np.median(panel.numbers[rows]))
        color = scale.to_rgba(middle) if scale and np.isfinite(middle) else "#56B4E9"
        steps, low, median, high = band(panel.steps, panel.curves[rows])
        axes.fill_between(steps, low, high, color=color, alpha=0.15, lw=0)
        axes.plot(steps, median, color=color, lw=1.6)
    if panel.is_chosen.any():
        steps, _, median, _ = band(panel.steps, panel.curves[panel.is_chosen])
        axes.plot(steps, median, color="black", lw=2.2, label="the chosen setting")


def _limits(panels: Sequence[Panel]) -> tuple[float, float] | None:
    """Returns logarithmic limits that cut off what has grown far beyond the start."""
    values = np.concatenate([panel.curves.ravel() for panel in panels])
    finite = values[np.isfinite(values)]
    if not finite.size or finite.min() <= 0:
        return None
    first = np.concatenate([panel.curves[:, 0] for panel in panels])
    first = first[np.isfinite(first)]
    start = float(np.median(first)) if first.size else float(finite.max())
    low, high = float(finite.min()), min(float(finite.max()), 10 * start)
    return low / 1.2, max(high * 1.2, low * 2)
