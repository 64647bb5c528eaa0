"""The error of a difference quotient over its step, next to the gradient field."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjax.derivatives.differences import Line, Quotients
from gradjax.plots.labels import plain
from gradjax.plots.surface import draw_arrows, draw_contours
from gradjax.problems.surfaces import Surface

# Colour-blind safe colours (Wong 2011).
_COLORS = {"float32": "#D55E00", "float64": "#0072B2"}
_DOTS = (0, (1, 1.5))
_TEXT = 13  # points, still readable at half the size


class Field(NamedTuple):
    """A surface with its gradient field, and the place where the slope is measured."""

    surface: Surface
    points: np.ndarray  # f[points, 2], the places of the arrows
    descent: np.ndarray  # f[points, 2]: minus the gradient at `points`
    point: np.ndarray  # f[2], the point where the slope is measured
    direction: np.ndarray  # f[2], the direction of the slope, of length 1


def gradient_error(
    title: str,
    line: Line,
    quotients: Sequence[Quotients],
    field: Field,
) -> bytes:
    """Draws the errors in each precision, and the surface with its gradient field.

    Args:
      title: the title of the figure.
      line: the line along which the differences were taken.
      quotients: one per precision.
      field: the surface and the field in the right half.

    Returns:
      A PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 7), dpi=100, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)  # pyright: ignore
    figure.suptitle(plain(title), fontsize=_TEXT + 2)
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1.0))
    _draw_errors(left, line, quotients)
    _draw_field(right, field)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()


def _draw_errors(axes: Any, line: Line, quotients: Sequence[Quotients]) -> None:
    for one in quotients:
        _draw_quotients(axes, line.steps, one)
    if line.truncation.any():  # else the third derivative is 0
        look = {"color": "black", "ls": (0, (5, 3)), "lw": 1.5, "zorder": 4}
        label = "theory: truncation, as h²"
        axes.plot(line.steps, line.truncation, label=label, **look)
    axes.set(xscale="log", yscale="log", xlim=(line.steps[0], line.steps[-1]))
    axes.set_ylim(*_limits(quotients))
    axes.set_title("error of a difference quotient over its step", fontsize=_TEXT)
    axes.set_xlabel("step h", fontsize=_TEXT)
    axes.set_ylabel("|quotient − gradient|", fontsize=_TEXT)
    axes.tick_params(labelsize=_TEXT - 1)
    axes.grid(visible=True, lw=0.4, alpha=0.6)
    grey: dict[str, Any] = {"color": "0.35"}  # for lines of both precisions
    axes.plot([], [], lw=1.0, label="forward instead of central", **grey)
    axes.plot([], [], ls=_DOTS, lw=2.0, label="theory: rounding, as 1/h", **grey)
    _legend(axes, num_columns=2)


def _draw_quotients(axes: Any, steps: np.ndarray, one: Quotients) -> None:
    """Draws single errors, which are as good as random, and their running median."""
    color, name = _COLORS[one.name], one.name
    typical = _positive(one.typical)
    axes.plot(steps, _positive(one.central), ".", c=color, ms=3.5, alpha=0.4, mew=0)
    axes.plot(steps, _positive(one.typical_forward), c=color, lw=1.0)
    axes.plot(steps, typical, c=color, lw=2.8, label=f"central, {name}")
    axes.plot(steps, _positive(one.rounding), c=color, ls=_DOTS, lw=2.0)
    best = {"color": color, "mec": "white", "mew": 1.5, "ms": 12, "zorder": 6}
    axes.plot(steps[one.best], typical[one.best], "o", **best)
    if _has_level(one):
        look = {"color": color, "ls": "-.", "lw": 1.5}
        axes.axhline(one.gradient, label=f"jax.grad, {name}", **look)


def _positive(values: np.ndarray) -> np.ndarray:
    """Replaces 0, which a logarithmic axis cannot show, by NaN."""
    return np.where(values > 0.0, values, np.nan)


def _has_level(one: Quotients) -> bool:
    """Returns whether jax.grad has an error; its float64 value is the reference."""
    return one.name == "float32" and one.gradient > 0.0


def _limits(quotients: Sequence[Quotients]) -> tuple[float, float]:
    """Returns limits with all medians; a single error far below may be outside."""
    medians = np.concatenate([np.r_[q.typical, q.typical_forward] for q in quotients])
    levels = [q.gradient for q in quotients if _has_level(q)]
    seen = np.concatenate([medians[medians > 0.0], levels])
    return seen.min() / 20.0, seen.max() * 10.0


def _draw_field(axes: Any, field: Field) -> None:
    surface = field.surface
    draw_contours(
        axes, surface.function, surface.xlim, surface.ylim, surface.minimisers
    )
    draw_arrows(axes, field.points, field.descent, "length of the gradient")
    reach = 0.11 * (surface.xlim[1] - surface.xlim[0])
    ends = field.point + reach * np.outer([-1.0, 1.0], field.direction)
    axes.plot(*ends.T, color="white", lw=5.5, zorder=5)
    axes.plot(*ends.T, color="#009E73", lw=3.0, zorder=6, label="direction measured")
    axes.plot(
        *field.point,
        "o",
        color="#009E73",
        mec="white",
        mew=1.5,
        ms=12,
        zorder=7,
        label="the point",
    )
    star = {"marker": "*", "ms": 15, "color": "#F0E442", "mec": "black", "ls": ""}
    axes.plot([], [], label="least value", **star)
    axes.set_title("arrows along −gradient, straight downhill", fontsize=_TEXT)
    _legend(axes, num_columns=3)


def _legend(axes: Any, num_columns: int) -> None:
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
        ncols=num_columns,
        frameon=False,
        fontsize=_TEXT - 1,
        columnspacing=1.2,
        handlelength=2.2,
    )
