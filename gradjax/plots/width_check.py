"""The sizes of the outputs of layers over the width of a network."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from gradjax.analysis.width_slopes import Sizes, Slope
from gradjax.plots.labels import plain

# Colour-blind safe colours (Wong 2011) of steps 0, 1, 2, 3.
_STEPS = ("#000000", "#56B4E9", "#0072B2", "#009E73", "#E69F00", "#CC79A7")
_WRONG = "#D55E00"
_TEXT = 11  # points
_MOST_COLUMNS = 4


def width_check(
    title: str, widths: list[int], layers: Mapping[str, Sizes], slopes: list[Slope]
) -> bytes:
    """Draws a panel for each layer: solid lines are sizes, dashed ones changes.

    Args:
      title: the title of the figure.
      widths: increasing.
      layers: path -> Sizes.
      slopes: those of `analysis.width_slopes.slopes`. The title of a panel with one
        that is not allowed is red and has the worst of them.

    Returns:
      A PNG.
    """
    from matplotlib.figure import Figure

    num_columns = min(len(layers), _MOST_COLUMNS)
    num_rows = -(-len(layers) // num_columns)
    size = (3.7 * num_columns, 3.2 * num_rows + 0.9)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    figure.suptitle(plain(title), fontsize=_TEXT + 3)
    panels = list(figure.subplots(num_rows, num_columns, squeeze=False).flat)
    for axes, (name, sizes) in zip(panels, layers.items(), strict=False):
        _draw(axes, widths, sizes)
        wrong = [one for one in slopes if one.layer == name and not one.passes]
        _entitle(axes, name, wrong)
    for axes in panels[len(layers) :]:
        axes.set_axis_off()
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=_TEXT,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()


def _draw(axes: Any, widths: list[int], sizes: Sizes) -> None:
    for quantity, style in (("size", "-"), ("change", "--")):
        values = getattr(sizes, quantity).mean(axis=-1)  # f[widths, steps + 1]
        for step in range(quantity == "change", values.shape[1]):
            shown = np.where(values[:, step] > 0.0, values[:, step], np.nan)
            color = _STEPS[step % len(_STEPS)]
            look: dict[str, Any] = {"color": color, "ls": style, "lw": 2, "marker": "."}
            axes.plot(widths, shown, label=f"{quantity}, step {step}", **look)
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(widths, [f"{width:,}" for width in widths], fontsize=_TEXT - 2)
    axes.minorticks_off()
    axes.set_xlabel("width", fontsize=_TEXT)
    axes.grid(visible=True, lw=0.4, alpha=0.6)


def _entitle(axes: Any, name: str, wrong: list[Slope]) -> None:
    if not wrong:
        axes.set_title(plain(name), fontsize=_TEXT)
        return
    most = max(wrong, key=lambda one: abs(np.nan_to_num(one.value, nan=np.inf)))
    said = f"{name}: {most.quantity} {most.value:+.2f} at step {most.step}"
    axes.set_title(plain(said), fontsize=_TEXT, color=_WRONG)
