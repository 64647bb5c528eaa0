"""The final loss of a run over one of its numbers: too small, right, too large."""

import io
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from gradjax.plots.labels import plain
from gradjax.types import Series

# Colour-blind safe colours (Wong 2011).
_COLORS = ("#000000", "#56B4E9", "#CC79A7", "#E69F00", "#0072B2", "#009E73", "#D55E00")
_LOOKS = [(color, style) for style, color in product(("-", "--", "-.", ":"), _COLORS)]
_OFF = {"marker": "^", "ls": "", "ms": 10, "mfc": "#D55E00", "mec": "black"}
_REGIONS = {"too small": "#0072B2", "right": "#009E73", "too large": "#D55E00"}
_TEXT = 14  # points, still readable at half the size
_MOST = 1e4  # larger multiples of the loss at the start are off the scale


class Points(NamedTuple):
    """The losses over one swept number, with all other numbers fixed."""

    values: Any  # f[points], above 0, increasing
    losses: Any  # f[points] or f[trials, points], above 0; inf or NaN: it overflowed


class Mark(NamedTuple):
    """A value of the swept number that a vertical line marks."""

    value: float
    label: str
    is_theory: bool = False  # whether it is from theory, and dashed, or measured


class Curve(NamedTuple):
    """The loss of one run."""

    region: str  # "too small", "right" or "too large"
    label: str
    losses: Series  # over steps


class Notes(NamedTuple):
    """Optional additions to the picture of a sweep."""

    start: float | None = None  # the loss before the first step, above 0
    right: tuple[float, float] | None = None
    # the range of good values; 0 or inf where no value on that side is bad
    marks: Sequence[Mark] = ()
    curves: Sequence[Curve] = ()  # in a second panel


_NO_NOTES = Notes()


def sensitivity(
    title: str,
    sweeps: Mapping[str, Points],
    xlabel: str,
    ylabel: str,
    notes: Notes = _NO_NOTES,
) -> bytes:
    """Draws final losses over a swept number, with two logarithmic axes.

    Args:
      title: the title of the figure.
      sweeps: label -> the losses of a sweep. With several trials a line shows the
        median, and a band the range of the trials. A loss above 10,000 times
        `notes.start`, or one that overflowed, is a triangle at the top.
      xlabel: the name of the number.
      ylabel: the name of the loss, for both panels.
      notes: the loss at the start, the range of good values, vertical lines, and the
        curves of a second panel.

    Returns:
      A PNG.
    """
    from matplotlib.figure import Figure

    num_panels = 2 if notes.curves else 1
    figure = Figure(figsize=(8.2 * num_panels, 6.6), dpi=100, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)  # pyright: ignore
    figure.suptitle(plain(title), fontsize=_TEXT + 2)
    axes = figure.subplots(1, num_panels, squeeze=False)[0]
    limits = _limits(sweeps, notes)
    _draw_sweeps(axes[0], sweeps, notes, limits)
    axes[0].set(xlabel=plain(xlabel), ylabel=plain(ylabel), ylim=limits)
    if notes.curves:
        _draw_curves(axes[1], notes)
        axes[1].set(xlabel="step", ylabel=plain(ylabel), yscale="log", ylim=limits)
    for panel in axes:
        _style(panel)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()


def _draw_sweeps(
    axes: Any,
    sweeps: Mapping[str, Points],
    notes: Notes,
    limits: tuple[float, float],
) -> None:
    values = np.concatenate([np.asarray(sweep.values) for sweep in sweeps.values()])
    low, high = float(values.min()), float(values.max())
    axes.set(xscale="log", yscale="log", xlim=(low / 1.15, high * 1.15))
    if notes.right is not None:
        _shade(axes, notes.right)
    is_off = [
        _draw_sweep(axes, sweep, _LOOKS[k % len(_LOOKS)], label, limits)
        for k, (label, sweep) in enumerate(sweeps.items())
    ]
    if any(is_off):
        axes.plot([], [], label="off the scale: it diverged", **_OFF)
    if notes.start is not None:
        axes.axhline(
            notes.start, color="#666666", ls=":", lw=1.8, label="before the first step"
        )
    for mark in notes.marks:
        axes.axvline(
            mark.value,
            color="black" if mark.is_theory else _REGIONS["too large"],
            ls=(0, (4, 4)) if mark.is_theory else "-",
            lw=1.8 if mark.is_theory else 3.2,
            zorder=3 if mark.is_theory else 2,
            label=plain(mark.label),
        )


def _draw_sweep(
    axes: Any,
    sweep: Points,
    look: tuple[str, str],
    label: str,
    limits: tuple[float, float],
) -> bool:
    """Draws one sweep; returns whether a part of it is off the scale."""
    color, style = look
    values, trials = np.asarray(sweep.values), np.atleast_2d(sweep.losses)
    trials = np.where(np.isfinite(trials), trials, np.inf)
    middle = np.median(trials, axis=0)
    is_off = ~(middle <= limits[1])
    axes.plot(
        values[~is_off],
        middle[~is_off],
        marker="o",
        ls=style,
        color=color,
        lw=2.2,
        ms=6,
        zorder=4,
        label=plain(label),
    )
    if len(trials) > 1:
        low, high = np.clip([trials.min(axis=0), trials.max(axis=0)], *limits)
        axes.fill_between(
            values, low, high, where=~is_off, color=color, alpha=0.2, lw=0
        )
    top = np.full(is_off.sum(), limits[1] * (limits[0] / limits[1]) ** 0.02)
    axes.plot(values[is_off], top, **_OFF | {"mec": color})
    return bool(is_off.any())


def _shade(axes: Any, right: tuple[float, float]) -> None:
    """Shades the three regions and writes their names above them."""
    low, high = axes.get_xlim()
    edges = np.clip([low, *right, high], low, high)
    decades = np.log(high / low)
    for start, end, (name, color) in zip(
        edges[:-1], edges[1:], _REGIONS.items(), strict=True
    ):
        if not start < end:
            continue
        axes.axvspan(start, end, color=color, alpha=0.13, lw=0, zorder=0)
        share = np.log(end / start) / decades
        axes.text(
            np.sqrt(start * end),
            1.012,
            name,
            transform=axes.get_xaxis_transform(),
            color=color,
            fontsize=_TEXT,
            fontweight="bold",
            ha="center",
            va="bottom",
            rotation=0 if share > 0.014 * len(name) else 30,
        )


def _draw_curves(axes: Any, notes: Notes) -> None:
    last = 1
    for curve in notes.curves:
        steps, losses = map(np.asarray, curve.losses)
        last = max(last, int(steps[-1]))
        seen = np.where(np.isfinite(losses), losses, np.nan)
        color = _REGIONS[curve.region]
        axes.plot(steps, seen, color=color, lw=2.6, label=plain(curve.label))
    axes.set(xlim=(0, last))
    axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.6g}")


def _limits(sweeps: Mapping[str, Points], notes: Notes) -> tuple[float, float]:
    """Returns the range of the losses up to 10,000 times the start, widened."""
    ends = [np.ravel(sweep.losses) for sweep in sweeps.values()]
    curves = [np.asarray(curve.losses.values) for curve in notes.curves]
    seen = np.concatenate([*ends, *curves])
    seen = seen[np.isfinite(seen) & (seen > 0.0)]
    if notes.start is not None:
        seen = np.append(seen[seen <= _MOST * notes.start], notes.start)
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (1.0, 1.0)
    room = (high / low) ** 0.06 if high > low else 10.0
    return low / room, high * room


def _style(axes: Any) -> None:
    axes.xaxis.label.set_fontsize(_TEXT)
    axes.yaxis.label.set_fontsize(_TEXT)
    axes.tick_params(labelsize=_TEXT - 1)
    axes.grid(visible=True, lw=0.4, alpha=0.6)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
        ncols=2,
        frameon=False,
        fontsize=_TEXT - 1,
        columnspacing=1.4,
        handlelength=1.8,
    )
