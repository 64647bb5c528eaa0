"""Curves of a run, with examples beside them."""

import io
from typing import Any

import numpy as np

from gradjax.plots.labels import plain
from gradjax.types import Examples, Series

# Colour-blind safe colours (Wong 2011): training blue, validation vermilion.
_COLORS = {"training": "#0072B2", "validation": "#D55E00"}


def curves(
    title: str,
    traces: list[dict[str, Series]],
    epoch_steps: int | None = None,
    examples: Examples | None = None,
) -> bytes:
    """Draws the loss and the accuracy in training and validation, over epochs.

    Args:
      title: the title of the figure.
      traces: one per trial; several are drawn thin, with their mean thick.
      epoch_steps: steps of one pass over the training split; None: the axis counts
        steps.
      examples: up to ten images, drawn with prediction and confidence.

    Returns:
      A PNG.
    """
    from matplotlib.figure import Figure

    width = 12 if examples is not None else 8
    figure = Figure(figsize=(width, 4.2), dpi=120, layout="constrained")
    figure.suptitle(plain(title), fontsize=11)
    left: Any = figure
    if examples is not None:
        halves: Any = figure.subfigures(1, 2, width_ratios=(7.4, 4.6), wspace=0.02)
        left, right = halves
        _draw_examples(right, examples)
    names = [n for n in ("loss", "accuracy") if n in traces[0]]
    for axes, name in zip(
        left.subplots(1, len(names), squeeze=False)[0], names, strict=True
    ):
        _draw_curves(axes, name, traces, epoch_steps)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()


def _draw_curves(
    axes: Any, name: str, traces: list[dict[str, Series]], epoch_steps: int | None
) -> None:
    unit = epoch_steps or 1
    for kind, prefix in (("training", ""), ("validation", "validation_")):
        series = [trace[prefix + name] for trace in traces if prefix + name in trace]
        if not series:
            continue
        if kind == "training":
            series = [_smooth(one) for one in series]
        color = _COLORS[kind]
        if not any(np.isfinite(one.values).any() for one in series):
            continue
        few = 40 if kind == "validation" else 2  # a line needs several points
        marker = "o" if len(series[0].steps) <= few else None
        longest = max(series, key=lambda one: len(one.steps))
        if len(series) > 1:
            for one in series:
                axes.plot(one.steps / unit, one.values, color=color, lw=0.6, alpha=0.4)
        axes.plot(
            longest.steps / unit,
            _mean(series, len(longest.steps)),
            color=color,
            lw=1.6,
            marker=marker,
            ms=3.5,
            label=kind,
        )
    if name == "loss" and _is_positive(traces):
        axes.set_yscale("log")
    axes.set(xlabel="epoch" if epoch_steps else "step", ylabel=name, xlim=(0, None))
    axes.grid(visible=True, which="both", lw=0.3, alpha=0.6)
    axes.legend(frameon=False)


def _is_positive(traces: list[dict[str, Series]]) -> bool:
    seen = [trace["loss"].values for trace in traces]
    return all((values[np.isfinite(values)] > 0).all() for values in seen)


def _smooth(series: Series, num_points: int = 100) -> Series:
    """Averages over equal windows, because mini-batch losses are too noisy to read."""
    window = -(-len(series.values) // num_points)
    count = len(series.values) // window * window
    if count == 0:
        return series
    values = np.asarray(series.values[:count]).reshape(-1, window).mean(axis=1)
    steps = np.asarray(series.steps[:count]).reshape(-1, window).mean(axis=1)
    return Series(steps, values)


def _mean(series: list[Series], num_points: int) -> np.ndarray:
    rows = np.full((len(series), num_points), np.nan)
    for row, one in zip(rows, series, strict=True):
        row[: len(one.values)] = one.values
    seen = np.isfinite(rows)
    total = np.where(seen, rows, 0.0).sum(axis=0)
    return np.where(seen.any(axis=0), total / np.maximum(seen.sum(axis=0), 1), np.nan)


def _draw_examples(figure: Any, examples: Examples) -> None:
    panels = figure.subplots(2, 5).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, image, label, probabilities in zip(panels, *examples, strict=False):
        guess = int(probabilities.argmax())
        is_right = guess == int(label)
        said = f"{guess}  {probabilities[guess]:.0%}"
        axes.imshow(image.squeeze(), cmap="gray_r", vmin=0.0, vmax=1.0)
        axes.set_title(
            said if is_right else f"{said}\nis {int(label)}",
            fontsize=9,
            color="black" if is_right else _COLORS["validation"],
        )
    figure.suptitle("test images: prediction and confidence", fontsize=9)
