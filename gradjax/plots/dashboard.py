"""A dashboard: small panels of the curves of a run, or a column of them per setting."""

import io
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjax.plots.bands import band
from gradjax.plots.labels import plain

MAX_PANELS = 12
_WIDE = 3  # panels beside each other in the dashboard of a run
_LEGEND = 6  # lines up to which each layer is named and has a colour of its own
_SPREAD = 20.0  # largest over smallest value from which the axis is logarithmic
# Colour-blind safe colours (Wong 2011).
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


class Line(NamedTuple):
    """One curve of one or several trials.

    Attributes:
      label: of the legend; "": it is not named there.
      steps: i64[points].
      values: f[trials, points]; a value that is not finite is not drawn.
      kind: "value", "layer" (one of many), "total" (over all layers) or "bound" (a
        value of comparison, drawn dashed).
    """

    label: str
    steps: np.ndarray
    values: np.ndarray
    kind: str = "value"


class Panel(NamedTuple):
    """The curves of one quantity; is_linear: its axis is never logarithmic."""

    title: str
    lines: tuple[Line, ...]
    is_linear: bool = False


class Column(NamedTuple):
    """The panels of one setting; None where it has no such curve."""

    title: str
    panels: tuple[Panel | None, ...]


def dashboard(title: str, columns: Sequence[Column], note: str = "") -> bytes:
    """Draws the panels of one setting, or a column of panels for each of several.

    The median over the trials is a line, and the range is a band. The vertical axis is
    logarithmic where all values are positive and the largest is 20 times the smallest.

    Args:
      title: the title of the figure.
      columns: one: its panels fill the figure row by row, without its title. Several:
        they have equally many panels, and those of one row share their axis.
      note: a sentence below the panels, such as what is left out.

    Returns:
      A PNG.

    Raises:
        ValueError: there are no panels, or more than twelve.
    """
    from matplotlib.figure import Figure

    count = sum(len(one.panels) for one in columns)
    if not 1 <= count <= MAX_PANELS:
        raise ValueError(f"{count} panels: expected 1 to {MAX_PANELS}")
    is_sweep = len(columns) > 1
    wide = len(columns) if is_sweep else min(_WIDE, count)
    if count == 4 and not is_sweep:
        wide = 2
    rows = math.ceil(count / wide)
    size = (max(4.3 * wide, 6.0), 2.7 * rows + (1.2 if is_sweep else 0.8))
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    figure.suptitle(plain(title), fontsize=12)
    share = "row" if is_sweep else False
    grid = figure.subplots(rows, wide, squeeze=False, sharey=share)
    if is_sweep:
        _draw_columns(grid, columns)
    else:
        _draw_run(grid.ravel(), columns[0])
    _label_steps(grid.ravel()[:count], wide, columns)
    if note:
        figure.supxlabel(plain(note), fontsize=8, color="#555555")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()


def is_logarithmic(panels: Sequence[Panel]) -> bool:
    """Returns whether panels that share an axis need a logarithmic one."""
    if any(one.is_linear for one in panels):
        return False
    parts = [line.values.ravel() for one in panels for line in one.lines]
    values = np.concatenate(parts) if parts else np.empty(0)
    values = values[np.isfinite(values)]
    is_positive = values.size > 0 and bool(values.min() > 0)
    return is_positive and float(values.max()) > _SPREAD * float(values.min())


def flat_limits(panels: Sequence[Panel]) -> tuple[float, float] | None:
    """Returns limits of a linear axis for values that are equal to rounding.

    Without them, the axis would show the rounding errors.
    """
    values = np.concatenate([line.values.ravel() for one in panels for line in one[1]])
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    low, high = float(values.min()), float(values.max())
    if high - low > 1e-4 * max(abs(low), abs(high)):
        return None
    room = 0.1 * max(abs(low), abs(high)) or 1.0
    return low - room, high + room


def _label_steps(grid: Any, wide: int, columns: Sequence[Column]) -> None:
    """Gives all panels the same steps, and the lowest of each column their name."""
    lines = [
        line for one in columns for panel in one.panels if panel for line in panel[1]
    ]
    last = max((int(line.steps[-1]) for line in lines if len(line.steps)), default=1)
    for axes in grid:
        axes.set_xlim(0, 1.01 * last)
    for axes in grid[-wide:]:
        axes.set_xlabel("step", fontsize=9)


def _draw_run(grid: Any, column: Column) -> None:
    for axes, panel in zip(grid, column.panels, strict=False):
        if panel is None:
            axes.set_axis_off()
            continue
        _draw(axes, panel, is_logarithmic([panel]))
        axes.set_ylim(flat_limits([panel]))
        axes.set_title(plain(panel.title), fontsize=10)
    for axes in grid[len(column.panels) :]:
        axes.set_axis_off()


def _draw_columns(grid: Any, columns: Sequence[Column]) -> None:
    for row, own in zip(
        grid, zip(*(one.panels for one in columns), strict=True), strict=True
    ):
        known = [panel for panel in own if panel is not None]
        is_log, has_legend = is_logarithmic(known), False
        for axes, panel in zip(row, own, strict=True):
            if panel is None:
                axes.text(0.5, 0.5, "not measured", ha="center", color="#777777")
                continue
            _draw(axes, panel, is_log, has_legend=not has_legend or _has_bound(panel))
            has_legend = True
        if known:
            row[0].set_ylim(flat_limits(known))
            row[0].set_ylabel(plain(known[0].title), fontsize=10)
    for axes, one in zip(grid[0], columns, strict=True):
        axes.set_title(plain(one.title), fontsize=10)


def _has_bound(panel: Panel) -> bool:
    return any(line.kind == "bound" for line in panel.lines)


def _draw(axes: Any, panel: Panel, is_log: bool, has_legend: bool = True) -> None:
    many = [line for line in panel.lines if line.kind == "layer"]
    shown = {id(many[0]), id(many[-1])} if len(many) > _LEGEND else set(map(id, many))
    num_values = 0
    for line in panel.lines:
        k = num_values if line.kind == "value" else _place(many, line)
        style = _style(line, k, len(many))
        num_values += line.kind == "value"
        is_named = line.kind != "layer" or id(line) in shown
        _draw_line(axes, line, style, plain(line.label) if is_named else None)
    if is_log:
        axes.set_yscale("log")
    else:
        axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(visible=True, which="major", lw=0.3, alpha=0.6)
    axes.tick_params(labelsize=8)
    if has_legend and axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=7, labelspacing=0.25, handlelength=1.5)


def _place(many: list[Line], line: Line) -> int:
    return next((k for k, one in enumerate(many) if one is line), 0)


def _style(line: Line, k: int, num_layers: int) -> dict[str, Any]:
    """Returns the colour and the width of a line; layer k of many has a scale's."""
    from matplotlib import colormaps

    if line.kind == "bound":
        return {"color": "#444444", "lw": 1.2, "ls": "--"}
    if line.kind == "total":
        return {"color": "black", "lw": 1.8}
    if line.kind == "layer" and num_layers > _LEGEND:
        scale = colormaps["viridis"]
        return {"color": scale(0.9 * k / (num_layers - 1)), "lw": 0.9}
    width = 1.1 if line.kind == "layer" else 1.6
    return {"color": _COLORS[k % len(_COLORS)], "lw": width}


def _draw_line(axes: Any, line: Line, style: dict[str, Any], label: str | None) -> None:
    steps, low, median, high = band(line.steps, line.values)
    if not len(steps):
        return
    marker = "o" if len(steps) <= 30 and line.kind != "bound" else None
    if label and line.kind == "bound" and (median == median[0]).all():
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}
        place = (steps[-1], median[0])
        axes.text(*place, label, ha="right", va="bottom", fontsize=7, bbox=box)
        label = None
    named = {"label": label} if label else {}
    axes.plot(steps, median, marker=marker, ms=2.5, **style, **named)
    if len(line.values) > 1 and line.kind in ("value", "total"):
        color = style["color"]
        axes.fill_between(steps, low, high, color=color, alpha=0.15, lw=0)
