"""The scores of a sweep over each of its hyperparameters, as points."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjax.plots.labels import plain

_TEXT = 11  # points
_SIZE = 3.4  # of a panel, in inches
_COLOR, _BEST, _LOST = "#56B4E9", "#D55E00", "#999999"
_MOST = 1e4  # larger multiples of the median loss are off the scale


class Panel(NamedTuple):
    """The settings of one optimizer over one hyperparameter."""

    title: str  # the optimizer
    xlabel: str
    values: np.ndarray  # f[settings]
    losses: np.ndarray  # f[settings]; inf or NaN: a seed diverged
    best: int | None  # the row of the chosen setting


def hyperparameters(title: str, rows: Sequence[Sequence[Panel]], ylabel: str) -> bytes:
    """Draws a panel for each optimizer and hyperparameter, without lines.

    Settings that differ in several numbers do not lie on one curve, so their points are
    not joined. All panels have the same vertical axis.

    Args:
      title: the title of the figure.
      rows: the panels of each optimizer.
      ylabel: the name of the losses, the means over seeds.

    Returns:
      A PNG. The chosen setting is a star. A setting is a cross at the top if a seed
      diverged or if its loss is far above the others.
    """
    from matplotlib.figure import Figure

    columns = max(len(row) for row in rows)
    size = (_SIZE * columns + 0.8, _SIZE * len(rows) + 0.8)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    figure.suptitle(plain(title), fontsize=_TEXT + 2)
    grid = figure.subplots(len(rows), columns, squeeze=False, sharey=True)
    losses = np.concatenate([panel.losses for row in rows for panel in row])
    finite = losses[np.isfinite(losses)]
    is_log = bool(finite.size) and finite.min() > 0
    if is_log:
        finite = finite[finite <= _MOST * np.median(finite)]
    top = float(finite.max()) if finite.size else 1.0
    for axes_row, row in zip(grid, rows, strict=True):
        for axes, panel in zip(axes_row, row, strict=False):
            _draw(axes, panel, top)
            axes.set_yscale("log" if is_log else "linear")
        for axes in axes_row[len(row) :]:
            axes.set_axis_off()
        axes_row[0].set_ylabel(plain(ylabel), fontsize=_TEXT)
    figure.legend(
        handles=_handles(), loc="outside lower center", ncols=3, frameon=False
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()


def _draw(axes: Any, panel: Panel, top: float) -> None:
    is_known = np.isfinite(panel.losses) & (panel.losses <= top)
    axes.plot(panel.values[is_known], panel.losses[is_known], **_look("o", _COLOR, 5))
    lost = panel.values[~is_known]
    axes.plot(lost, np.full(lost.shape, top), **_look("x", _LOST, 6))
    if panel.best is not None:
        at = panel.best
        look = _look("*", _BEST, 14)
        axes.plot(panel.values[at : at + 1], panel.losses[at : at + 1], **look)
    is_wide = panel.values.min() > 0 and panel.values.max() > 20 * panel.values.min()
    axes.set_xscale("log" if is_wide else "linear")
    axes.set_title(plain(panel.title), fontsize=_TEXT)
    axes.set_xlabel(plain(panel.xlabel), fontsize=_TEXT)
    axes.grid(visible=True, which="both", lw=0.3, alpha=0.6)


def _look(marker: str, color: str, size: float) -> dict[str, Any]:
    return {"marker": marker, "ls": "", "color": color, "ms": size}


def _handles() -> list[Any]:
    """Returns the entries of the legend."""
    from matplotlib.lines import Line2D

    said = (
        ("o", _COLOR, 5, "a setting"),
        ("*", _BEST, 12, "the chosen setting"),
        ("x", _LOST, 6, "diverged or off the scale"),
    )
    return [
        Line2D([], [], label=label, **_look(marker, color, size))
        for marker, color, size, label in said
    ]
