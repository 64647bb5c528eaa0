"""The shapes of schedules over a run, on one axis."""

import io
import textwrap
from itertools import product
from typing import Any

import numpy as np

from gradjax.types import Series

# Colour-blind safe (Wong 2011), the yellow left out; then the same ones dashed.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_LOOKS = [(color, style) for style, color in product(("-", "--", "-.", ":"), _COLORS)]
_LABEL_CHARACTERS = 60
_TEXT = 15  # points: half the size is still read


def schedule(shapes: dict[str, Series]) -> bytes:
    """Draws what multiplies the peak learning rate at each step.

    Args:
      shapes: label -> the shape's values in [0, 1] over steps; drawn in this order,
        each a little thinner than the one before, so that equal ones all show.

    Returns:
      A PNG.
    """
    from matplotlib.figure import Figure

    labels = [_wrapped(label) for label in shapes]
    height = 5.4 + 0.3 * sum(label.count("\n") + 1 for label in labels)
    figure = Figure(figsize=(9, height), dpi=120, layout="constrained")
    axes = figure.subplots()
    widths = np.linspace(4.0, 2.0, len(shapes)) if len(shapes) > 1 else [3.0]
    lines = [
        _drawn(axes, series, _LOOKS[k % len(_LOOKS)], width)
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


def _drawn(axes: Any, series: Series, look: tuple[str, str], width: float) -> Any:
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
    """The last step there is; 1 where a run is one step, for an axis has a length."""
    return max(1, *(int(series.steps[-1]) for series in shapes.values()))


def _wrapped(label: str) -> str:
    """In lines that fit; `$` would begin a formula, and `_` hides a label."""
    text = textwrap.fill(label.replace("$", r"\$"), _LABEL_CHARACTERS)
    return f" {text}" if text.startswith("_") else text
