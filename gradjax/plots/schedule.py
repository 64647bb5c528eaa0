"""The shapes of schedules over the steps of a run."""

import io
import textwrap
from itertools import product
from typing import Any

import numpy as np

from gradjax.plots.labels import plain
from gradjax.types import Series

# Colour-blind safe colours (Wong 2011) without yellow, then the same colours dashed.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_LOOKS = [(color, style) for style, color in product(("-", "--", "-.", ":"), _COLORS)]
_LABEL_CHARACTERS = 60
_TEXT = 15  # points, still readable at half the size


def schedule(shapes: dict[str, Series]) -> bytes:
    """Draws the factor of the peak learning rate at each step.

    Args:
      shapes: label -> the values of a shape in [0, 1] over steps. They are drawn in
        this order, each thinner than the previous one, so that equal shapes are all
        visible.

    Returns:
      A PNG.
    """
    from matplotlib.figure import Figure

    labels = [_wrap(label) for label in shapes]
    height = 5.4 + 0.3 * sum(label.count("\n") + 1 for label in labels)
    figure = Figure(figsize=(9, height), dpi=120, layout="constrained")
    axes = figure.subplots()
    widths = np.linspace(4.0, 2.0, len(shapes)) if len(shapes) > 1 else [3.0]
    lines = [
        _draw(axes, series, _LOOKS[k % len(_LOOKS)], width)
        for k, (series, width) in enumerate(zip(shapes.values(), widths, strict=True))
    ]
    axes.set_xlabel("step", fontsize=_TEXT)
    axes.set_ylabel("learning rate / peak", fontsize=_TEXT)
    axes.set(ylim=(-0.02, 1.04), xlim=(0, _last(shapes)))
    axes.tick_params(labelsize=_TEXT - 1)
    axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.6g}")
    axes.grid(visible=True, lw=0.4, alpha=0.6)
    figure.legend(
        lines, labels, loc="outside lower left", frameon=False, fontsize=_TEXT - 1
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()


def _draw(axes: Any, series: Series, look: tuple[str, str], width: float) -> Any:
    color, style = look
    marker = "o" if len(series.steps) <= 30 else None
    return axes.plot(
        series.steps,
        series.values,
        color=color,
        ls=style,
        lw=width,
        marker=marker,
        clip_on=False,
    )[0]


def _last(shapes: dict[str, Series]) -> float:
    """Returns the last step, but at least 1, because an axis must have a length."""
    return max(1, *(int(series.steps[-1]) for series in shapes.values()))


def _wrap(label: str) -> str:
    return plain(textwrap.fill(label, _LABEL_CHARACTERS))
