"""The loss on a plane, with the path of a run on it, and on lines."""

import io
from collections.abc import Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from gradjax.plots.labels import plain

# From the lowest loss up. They are pale, so that the path is visible.
_SHADES = ("#FFFFFF", "#DCE6EE", "#B4C7D8", "#8AA5BE")
_LINES = "#5F7C97"
_PATH, _STAR = "#D55E00", "#F0E442"  # Wong 2011
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_LOOKS = [(color, style) for style, color in product(("-", "--", "-.", ":"), _COLORS)]
_UNKNOWN = "#E8D9C5"  # of losses that are not finite
_NUM_LEVELS = 16
_TEXT = 13  # points, still readable at half the size
_WIDTH = 6.0  # of the panel, in inches
_MAX_DOTS = 100  # the most points of a path with a dot at each
_WIDE = 10.0  # losses that span more than this factor have logarithmic levels


class Line(NamedTuple):
    """The loss on a line."""

    positions: Any  # f[points], increasing
    losses: Any  # f[points]; gaps where it is not finite
    barrier: tuple[float, float] | None = None
    # (position, height above the chord), which is drawn with the chord


def plane(
    title: str,
    axes: tuple[Any, Any],
    losses: Any,
    path: Any = None,
    labels: tuple[str, str] = ("first direction", "second direction"),
) -> bytes:
    """Draws the contours of the loss on a plane, and a path on it.

    The levels have equal ratios if the losses are positive and span more than a factor
    of ten, and equal distances otherwise. Losses that are not finite are a beige area.

    Args:
      title: the title of the figure.
      axes: the positions along both directions, f[columns] and f[rows], increasing.
      losses: f[rows, columns].
      path: f[points, 2]; a circle is at the first point and a star at the last one.
      labels: of the axes.

    Returns:
      A PNG.
    """
    from matplotlib.figure import Figure

    xs, ys = (np.asarray(axis, np.float64) for axis in axes)
    ratio = (xs[-1] - xs[0]) / (ys[-1] - ys[0])
    is_equal = 0.25 <= ratio <= 4.0
    height = _WIDTH / ratio if is_equal else _WIDTH
    height = min(max(height, 0.5 * _WIDTH), 1.3 * _WIDTH) + 1.3
    figure = Figure(figsize=(_WIDTH + 2.4, height), dpi=110, layout="constrained")
    figure.suptitle(plain(title), fontsize=_TEXT + 1)
    panel = figure.subplots()
    _draw_contours(figure, panel, xs, ys, np.asarray(losses, np.float64))
    if path is not None:
        _draw_path(panel, np.asarray(path, np.float64))
    panel.set(xlim=(xs[0], xs[-1]), ylim=(ys[0], ys[-1]))
    panel.set_aspect("equal" if is_equal else "auto")
    panel.set_xlabel(plain(labels[0]), fontsize=_TEXT)
    panel.set_ylabel(plain(labels[1]), fontsize=_TEXT)
    panel.tick_params(labelsize=_TEXT - 1)
    panel.locator_params(nbins=6)
    if path is not None:
        figure.legend(
            loc="outside lower center", ncols=3, frameon=False, fontsize=_TEXT - 1
        )
    return _png(figure)


def line(
    title: str,
    lines: Mapping[str, Line],
    xlabel: str = "position on the line",
    ylabel: str = "loss",
) -> bytes:
    """Draws losses on lines; a barrier is an arrow from the chord to the loss.

    Args:
      title: the title of the figure.
      lines: label -> the loss on a line.
      xlabel: the name of the positions.
      ylabel: the name of the losses.

    Returns:
      A PNG. The losses have a logarithmic axis if they are positive and span more than
      a factor of ten, and if there is no barrier, whose chord would be curved.
    """
    from matplotlib.figure import Figure

    rows = (len(lines) + 1) // 2
    figure = Figure(figsize=(8.4, 5.2 + 0.3 * rows), dpi=110, layout="constrained")
    figure.suptitle(plain(title), fontsize=_TEXT + 1)
    panel = figure.subplots()
    for k, (label, one) in enumerate(lines.items()):
        _draw_line(panel, one, _LOOKS[k % len(_LOOKS)], label)
    seen = np.concatenate([np.ravel(one.losses) for one in lines.values()])
    has_barrier = any(one.barrier is not None for one in lines.values())
    if _is_wide(seen) and not has_barrier:
        panel.set_yscale("log")
    panel.set_xlabel(plain(xlabel), fontsize=_TEXT)
    panel.set_ylabel(plain(ylabel), fontsize=_TEXT)
    panel.tick_params(labelsize=_TEXT - 1)
    panel.grid(visible=True, lw=0.4, alpha=0.6)
    panel.margins(x=0.02)
    figure.legend(
        loc="outside lower center", ncols=2, frameon=False, fontsize=_TEXT - 1
    )
    return _png(figure)


def _draw_contours(
    figure: Any, panel: Any, xs: np.ndarray, ys: np.ndarray, losses: np.ndarray
) -> None:
    """Draws filled contours with lines, and a colour bar with the losses."""
    from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap

    panel.set_facecolor(_UNKNOWN)
    finite = losses[np.isfinite(losses)]
    if not finite.size:
        return
    levels = _levels(finite)
    known = np.ma.masked_invalid(losses)
    colormap = LinearSegmentedColormap.from_list("", list(_SHADES))
    look = {"levels": levels, "norm": BoundaryNorm(levels, colormap.N)}
    filled = panel.contourf(xs, ys, known, cmap=colormap, **look)
    panel.contour(xs, ys, known, levels=levels, colors=_LINES, linewidths=0.7)
    bar = figure.colorbar(filled, ax=panel, ticks=levels[::3], shrink=0.9)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    bar.ax.minorticks_off()
    bar.set_label("loss", fontsize=_TEXT)
    bar.ax.tick_params(labelsize=_TEXT - 1)


def _levels(losses: np.ndarray) -> np.ndarray:
    """Returns the levels of the contours, from the least to the largest loss."""
    low, high = float(losses.min()), float(losses.max())
    if not high > low:
        room = abs(low) or 1.0
        return np.asarray([low - room, low + room])
    if _is_wide(losses):
        levels = np.geomspace(low, high, _NUM_LEVELS)
    else:
        levels = np.linspace(low, high, _NUM_LEVELS)
    # The ends are moved outwards, because a value at an end would be left out.
    levels[0] -= 1e-6 * abs(low)
    levels[-1] += 1e-6 * abs(high)
    return levels


def _is_wide(losses: np.ndarray) -> bool:
    finite = losses[np.isfinite(losses)]
    if not finite.size or finite.min() <= 0.0:
        return False
    return bool(finite.max() > _WIDE * finite.min())


def _draw_path(panel: Any, path: np.ndarray) -> None:
    marker = "o" if len(path) <= _MAX_DOTS else None
    panel.plot(*path.T, color="white", lw=4.0, zorder=3)
    panel.plot(
        *path.T, color=_PATH, lw=2.0, marker=marker, ms=4.0, zorder=4, label="path"
    )
    edge = {"mec": "black", "ls": "", "zorder": 5}
    panel.plot(*path[0], "o", color="white", ms=9, mew=1.4, label="first point", **edge)
    panel.plot(*path[-1], "*", color=_STAR, ms=17, mew=0.9, label="last point", **edge)


def _draw_line(panel: Any, one: Line, look: tuple[str, Any], label: str) -> None:
    """Draws the loss, and the barrier with its chord."""
    positions, losses = (np.asarray(x, np.float64) for x in one[:2])
    seen = np.where(np.isfinite(losses), losses, np.nan)
    marker = "o" if len(positions) <= 60 else None
    color, style = look
    panel.plot(
        positions,
        seen,
        color=color,
        ls=style,
        lw=2.2,
        marker=marker,
        ms=3.5,
        label=plain(label),
    )
    if one.barrier is None:
        return
    at, height = one.barrier
    ends = positions[[0, -1]]
    panel.plot(ends, losses[[0, -1]], color=color, ls=(0, (2, 2)), lw=1.4)
    chord = float(np.interp(at, ends, losses[[0, -1]]))
    panel.annotate(
        "",
        xy=(at, chord + height),
        xytext=(at, chord),
        arrowprops={"arrowstyle": "<->", "color": color, "lw": 1.6},
    )
    said = f"barrier {height:.3g}"
    offset = {"textcoords": "offset points", "xytext": (8, 0), "va": "center"}
    middle = (at, chord + height / 2.0)
    panel.annotate(said, xy=middle, color=color, fontsize=_TEXT - 1, **offset)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()
