"""A surface from above: filled contours, and arrows on them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# From the lowest up. They are pale, so that all colours of Wong (2011) are visible.
_SHADES = ("#FFFFFF", "#DCE6EE", "#B4C7D8", "#8AA5BE")
_LINES = "#5F7C97"
_HEAT = ("#E69F00", "#D55E00", "#8A1C1C", "#1A0A0A")  # of arrows, the shortest first
_NUM_POINTS = 301  # points along each side of the grid
_NUM_LEVELS = 24
_MAX_DECADES = 4.0  # decades below the longest vector that the colours of arrows span
_TEXT = 13  # points, still readable at half the size


def draw_contours(
    axes: Any,
    function: Callable[[Any, Any], Any],
    xlim: tuple[float, float],
    ylim: tuple[float, float],
    minimisers: Sequence[tuple[float, float]] = (),
) -> None:
    """Draws the contours of a function of x and y, and a star at every minimiser.

    The levels are equally spaced in log(1 + height above the least value), so they are
    close together near the minimum and decades apart on steep walls.

    Args:
      axes: the matplotlib axes; x and y get the same scale, so that a gradient is at a
        right angle to the contours.
      function: (x f[...], y f[...]) -> f[...].
      xlim: the domain in x.
      ylim: the domain in y.
      minimisers: points inside the domain; the least value includes theirs.
    """
    x, y = np.meshgrid(np.linspace(*xlim, _NUM_POINTS), np.linspace(*ylim, _NUM_POINTS))
    values = np.asarray(function(x, y), np.float64)
    stars = np.asarray(minimisers, np.float64).reshape(-1, 2)
    least = np.asarray(function(stars[:, 0], stars[:, 1]), np.float64)
    height = values - min(values.min(), least.min(initial=np.inf))
    levels = np.linspace(0.0, np.log1p(height.max()) or 1.0, _NUM_LEVELS + 1)
    axes.contourf(x, y, np.log1p(height), levels, cmap=_colormap(_SHADES))
    axes.contour(x, y, np.log1p(height), levels, colors=_LINES, linewidths=0.5)
    axes.scatter(
        stars[:, 0],
        stars[:, 1],
        s=260,
        marker="*",
        color="#F0E442",
        edgecolor="black",
        linewidth=0.9,
        zorder=5,
    )
    axes.set(xlim=xlim, ylim=ylim, aspect="equal")
    axes.locator_params(nbins=6)
    axes.set_xlabel("x", fontsize=_TEXT)
    axes.set_ylabel("y", fontsize=_TEXT)
    axes.tick_params(labelsize=_TEXT - 1)


def draw_arrows(
    axes: Any, points: np.ndarray, vectors: np.ndarray, label: str = "length"
) -> None:
    """Draws vectors as arrows of one length, coloured by the length of the vector.

    A colour bar is drawn beside the axes. A vector of length 0 has no direction and is
    not drawn. The colours are logarithmic, over at most four decades below the longest.

    Args:
      axes: the matplotlib axes, with their limits set.
      points: f[points, 2], the middles of the arrows, on a square grid.
      vectors: f[points, 2].
      label: the label of the colour bar.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator

    length = np.hypot(*vectors.T)
    is_drawn = length > 0.0
    if not is_drawn.any():
        return
    points, vectors, length = points[is_drawn], vectors[is_drawn], length[is_drawn]
    longest = float(length.max())
    least = max(float(length.min()), longest * 10.0**-_MAX_DECADES)
    unit = vectors / length[:, None]
    arrows = axes.quiver(
        *points.T,
        *unit.T,
        length,
        angles="xy",
        pivot="mid",
        scale_units="width",
        scale=1.35 * np.sqrt(len(is_drawn)),  # so that arrows nearly touch
        width=0.0042,
        headwidth=4.5,
        headlength=4.5,
        headaxislength=4.0,
        cmap=_colormap(_HEAT),
        norm=LogNorm(min(least, 0.999 * longest), longest),
        zorder=3,
    )
    beside = axes.inset_axes((1.03, 0.0, 0.04, 1.0))
    bar = axes.figure.colorbar(arrows, cax=beside)
    is_short = longest < 100.0 * least
    bar.set_ticks(LogLocator(subs=(1.0, 2.0, 5.0) if is_short else (1.0,)))
    bar.ax.minorticks_off()
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    bar.set_label(label, fontsize=_TEXT)
    bar.ax.tick_params(labelsize=_TEXT - 1)


def _colormap(colors: Sequence[str]) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("", list(colors))
