"""Paths on a surface next to their heights over steps, as a picture or an animation."""

import io
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from gradjax.plots.gif import gif
from gradjax.plots.labels import plain
from gradjax.plots.surface import draw_contours
from gradjax.problems.surfaces import Surface

# Colour-blind safe colours (Wong 2011) without the yellow of the stars. Paths
# beyond these repeat the colours with dashed lines.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#000000", "#CC79A7")
_LOOKS = [(color, style) for style in ("-", (0, (3, 1.5))) for color in _COLORS]
MAX_PATHS = 8  # as many as a reader can tell apart
_TEXT = 14  # points, still readable at half the size
_LABEL_CHARACTERS = 52
_MAX_DOTS = 100  # the most steps of a path with a dot at each step
_LEAST_HEIGHT = 1e-12  # the smallest lower end of the axis of heights
_HIGHEST = 1e3  # the largest upper end of this axis, in heights of the start
_FAR = 1e3  # the largest distance that is drawn, in widths of the domain
_NUM_FRAMES = 80
_KEPT_COLORS = (*_COLORS, "#F0E442", "#FFFFFF")  # of paths, stars and background
_STILL_DPI, _MOVING_DPI = 110, 75


class Path(NamedTuple):
    """The points of a descent."""

    points: np.ndarray  # f64[steps + 1, 2], finite
    heights: np.ndarray  # f64[steps + 1], above the minimum, finite
    ending: str  # how it ended, in a few words for the legend
    is_lost: bool = False  # it diverged, so it does not stay at its last point


class _Drawn(NamedTuple):
    """A path with the artists that draw it: its lines, and the marks at its end."""

    path: Path
    surface: Surface
    points: np.ndarray  # f64[steps + 1, 2], moved within the distance that is drawn
    trail: Any  # the line on the surface
    curve: Any  # the line of heights over steps
    heads: tuple[Any, Any]  # the marks at the ends of trail and curve
    floor: float  # the lower end of the axis of heights
    ceiling: float  # the upper end of this axis


def picture(title: str, surface: Surface, paths: dict[str, Path]) -> bytes:
    """Draws paths over the contours of a surface, and their heights over steps.

    Args:
      title: the title of the figure.
      surface: the surface, whose contours are drawn over its domain.
      paths: label -> path, at most MAX_PATHS, all from one start.

    Returns:
      A PNG.
    """
    figure, drawn, _ = _figure(title, surface, paths, _STILL_DPI)
    for one in drawn:
        _show(one, len(one.points) - 1)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()


def animation(title: str, surface: Surface, paths: dict[str, Path]) -> bytes:
    """Draws `picture` step by step, with more and more steps between two frames.

    Args: see `picture`.

    Returns:
      A GIF that repeats.
    """
    return gif(list(_frames(title, surface, paths)), _KEPT_COLORS)


def _frames(
    title: str, surface: Surface, paths: dict[str, Path]
) -> Iterator[np.ndarray]:
    """Yields each frame, u8[height, width, 3]; parts that stay are drawn only once."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure, drawn, counter = _figure(title, surface, paths, _MOVING_DPI)
    canvas = FigureCanvasAgg(figure)
    lines = [line for one in drawn for line in (one.trail, one.curve)]
    moving = [*lines, *(head for one in drawn for head in one.heads), counter]
    for artist in moving:
        artist.set_animated(True)
        artist.set_in_layout(False)  # because they are still empty
    canvas.draw()
    behind = canvas.copy_from_bbox(figure.bbox)
    for step in _frame_steps(max(len(path.points) for path in paths.values()) - 1):
        canvas.restore_region(behind)
        counter.set_text(f"step {step:,}")
        for one in drawn:
            _show(one, step)
        for artist in moving:
            artist.axes.draw_artist(artist)
        yield np.array(canvas.buffer_rgba())[..., :3]


def _frame_steps(last: int) -> list[int]:
    """Returns the step of each frame, from 0 to the last, in a geometric sequence."""
    counted = np.geomspace(1, last + 1, _NUM_FRAMES)
    return (np.unique(np.rint(counted).astype(int)) - 1).tolist()


def _figure(
    title: str, surface: Surface, paths: dict[str, Path], dpi: int
) -> tuple[Any, list[_Drawn], Any]:
    """Returns the figure, the paths with empty artists, and the counter of steps."""
    from matplotlib.figure import Figure

    labels = [_label(name, path) for name, path in paths.items()]
    half = (len(labels) + 1) // 2  # labels in the first of two columns of the legend
    rows = max(
        "\n".join(column).count("\n") for column in (labels[:half], labels[half:])
    )
    figure = Figure(figsize=(12.6, 7.05 + 0.27 * rows), dpi=dpi, layout="constrained")
    figure.suptitle(plain(title), fontsize=_TEXT + 2)
    left, right = figure.subplots(1, 2)
    draw_contours(
        left, surface.function, surface.xlim, surface.ylim, surface.minimisers
    )
    limits = _draw_heights(right, list(paths.values()))
    drawn = [
        _path(left, right, surface, path, k, limits)
        for k, path in enumerate(paths.values())
    ]
    start = next(iter(paths.values())).points[0]
    left.plot(*start, "o", ms=11, mfc="white", mec="black", mew=1.5, zorder=4)
    counter = right.text(
        0.97, 0.95, "", transform=right.transAxes, fontsize=_TEXT + 2, ha="right"
    )
    counter.set_verticalalignment("top")
    figure.legend(
        [one.trail for one in drawn],
        labels,
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=_TEXT - 1,
        handlelength=1.6,
    )
    return figure, drawn, counter


def _draw_heights(axes: Any, paths: list[Path]) -> tuple[float, float]:
    """Sets up the axes of heights over steps; returns the limits of the heights."""
    low, high = _limits([path.heights for path in paths])
    axes.set_box_aspect(1)
    last = max(len(path.points) for path in paths) - 1
    axes.set_xscale("symlog", linthresh=1.0, linscale=0.4)
    axes.set_yscale("log")
    axes.set(ylim=(low, high), xlim=(0, max(last, 1) * 1.5))
    axes.set_xlabel("step", fontsize=_TEXT)
    axes.set_ylabel("loss above the minimum", fontsize=_TEXT)
    axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    axes.tick_params(labelsize=_TEXT - 1)
    axes.grid(visible=True, lw=0.4, alpha=0.6)
    return low, high


def _limits(heights: list[np.ndarray]) -> tuple[float, float]:
    """Returns the range of the heights, cut at 1e-12 and at 1,000 times the first."""
    seen = np.concatenate(heights)
    positive = seen[seen > 0.0]
    if not positive.size:
        return _LEAST_HEIGHT, 1.0
    start = max(heights[0][0], _LEAST_HEIGHT)
    high = min(positive.max(), _HIGHEST * start)
    low = max(min(positive.min(), 0.03 * high), _LEAST_HEIGHT)
    return 0.5 * low, 2.0 * max(high, low)


def _path(
    left: Any,
    right: Any,
    surface: Surface,
    path: Path,
    k: int,
    limits: tuple[float, float],
) -> _Drawn:
    """Returns the k-th path with empty artists.

    Each path is thinner than the previous one, so that paths that coincide are all
    visible.
    """
    color, style = _LOOKS[k]
    line: dict[str, Any] = {"color": color, "ls": style, "lw": max(4.4 - 0.8 * k, 1.6)}
    if len(path.points) <= _MAX_DOTS + 1:
        line |= {"marker": "o", "ms": 4.5}
    head: dict[str, Any] = {
        "marker": "X" if path.is_lost else "o",
        "ms": max(13 - 2.3 * k, 6),
        "mfc": color,
        "mew": 0,
        "zorder": 6,
        "clip_on": False,
    }
    return _Drawn(
        path,
        surface,
        _within_reach(path, surface),
        left.plot([], [], zorder=3, **line)[0],
        right.plot([], [], zorder=3, **line)[0],
        (left.plot([], [], **head)[0], right.plot([], [], **head)[0]),
        *limits,
    )


def _show(one: _Drawn, step: int) -> None:
    """Draws the path up to a step, and its head at that step."""
    stop = min(step, len(one.points) - 1)
    # Heights outside the axis stay outside, but not at 0 or too far away to be drawn.
    heights = np.clip(one.path.heights, 1e-3 * one.floor, 1e3 * one.ceiling)
    one.trail.set_data(*one.points[: stop + 1].T)
    one.curve.set_data(np.arange(stop + 1), heights[: stop + 1])
    on_surface, on_curve = one.heads
    limits = np.array([one.surface.xlim, one.surface.ylim]).T[:, None]
    on_surface.set_data(*np.clip(one.points[[stop]], *limits).T)
    on_curve.set_data([stop], [np.clip(heights[stop], one.floor, one.ceiling)])


def _within_reach(path: Path, surface: Surface) -> np.ndarray:
    """Returns the points, moved so near that lines to them can be drawn.

    A diverged path ends at the edge of the domain, where it finally leaves the domain.
    """
    low, high = np.array([surface.xlim, surface.ylim]).T[:, None]
    center, reach = (low + high) / 2.0, _FAR * (high - low).max()
    away = path.points - center
    distance = np.abs(away).max(axis=1, keepdims=True)
    points = center + away * (reach / np.maximum(distance, reach))
    if path.is_lost:
        is_inside = ((low <= points) & (points <= high)).all(axis=1)
        last = np.flatnonzero(is_inside)[-1]
        inside, outside = path.points[[last, min(last + 1, len(points) - 1)]]
        points[last + 1 :] = _edge(inside, outside, low[0], high[0])
    return points


def _edge(
    inside: np.ndarray, outside: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Returns the point at which a line from inside the domain leaves it: f[2]."""
    step = outside - inside
    room = np.where(step > 0.0, high - inside, inside - low)
    share = np.min(room / np.maximum(np.abs(step), 1e-300))
    return inside + min(share, 1.0) * step


def _label(name: str, path: Path) -> str:
    return plain(textwrap.fill(f"{name}: {path.ending}", _LABEL_CHARACTERS))
