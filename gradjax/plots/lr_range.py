"""The loss over a rising learning rate, with the suggestion and where it diverges."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjax.plots.labels import plain

_LOSS, _SUGGESTED, _DIVERGED = "#0072B2", "#009E73", "#D55E00"  # Wong 2011
_CIRCLE: dict[str, Any] = {
    "marker": "o",
    "ls": "",
    "ms": 7,
    "color": _SUGGESTED,
    "mec": "white",
}
_TEXT = 14  # points, still readable at half the size
_ROOM = 0.08  # of the height of the axis, above and below the curves
_DECADE = 10.0  # a smoothed loss that spans more than this factor has a log axis


class Curve(NamedTuple):
    """The loss of one seed."""

    losses: np.ndarray  # f[steps], of single batches; NaN or inf: it diverged
    smoothed: np.ndarray  # f[steps], NaN after the end of the test
    suggestion: float | None  # a learning rate
    divergence: float | None


class Marks(NamedTuple):
    """The rates over all seeds, each as (median, low, high); None if there is none."""

    suggestion: tuple[float, float, float] | None
    divergence: tuple[float, float, float] | None


def lr_range(
    title: str, rates: np.ndarray, curves: Sequence[Curve], marks: Marks
) -> bytes:
    """Draws the losses of all seeds over the learning rate, on a logarithmic axis.

    The lines are smoothed losses, and the points behind them are losses of single
    batches, until the end of each test. A circle on a line is the suggestion of its
    seed. The loss is on a logarithmic axis if the smoothed losses span more than a
    factor of ten.

    Args:
      title: the title of the figure.
      rates: f64[steps], above 0 and increasing.
      curves: one per seed.
      marks: vertical lines at the medians, in bands from the lowest to the highest.

    Returns:
      A PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.2), dpi=110, layout="constrained")
    figure.suptitle(plain(title), fontsize=_TEXT + 1)
    axes = figure.subplots()
    _draw_mark(axes, marks.suggestion, _SUGGESTED, "-", "suggestion")
    _draw_mark(axes, marks.divergence, _DIVERGED, "--", "diverges from")
    strength = max(0.12, 0.9 / len(curves) ** 0.5)
    if any(curve.suggestion is not None for curve in curves):
        axes.plot([], [], **_CIRCLE, label="steepest fall of a seed")
    for k, curve in enumerate(curves):
        _draw_curve(axes, rates, curve, strength, is_first=k == 0)
    axes.set(xscale="log", xlim=(rates[0], rates[-1]))
    _set_height(axes, curves)
    axes.set_xlabel("learning rate", fontsize=_TEXT)
    axes.set_ylabel("training loss", fontsize=_TEXT)
    axes.tick_params(labelsize=_TEXT - 1)
    axes.grid(visible=True, lw=0.4, alpha=0.6)
    figure.legend(
        loc="outside lower center", ncols=2, frameon=False, fontsize=_TEXT - 1
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()


def _draw_curve(
    axes: Any, rates: np.ndarray, curve: Curve, strength: float, is_first: bool
) -> None:
    """Draws the points, the line and the circle of one seed."""
    labels = ("loss of a batch", "smoothed loss of a seed")
    points, line = labels if is_first else (None, None)
    is_tested = np.isfinite(curve.smoothed)
    losses = np.where(is_tested & np.isfinite(curve.losses), curve.losses, np.nan)
    axes.plot(rates, losses, ".", color="#666666", ms=3, alpha=0.6 * strength)
    axes.plot([], [], ".", color="#999999", ms=6, label=points)
    axes.plot(rates, curve.smoothed, color=_LOSS, lw=2.2, alpha=strength)
    axes.plot([], [], color=_LOSS, lw=2.2, label=line)
    if curve.suggestion is not None:
        at = int(np.abs(np.log(rates / curve.suggestion)).argmin())
        axes.plot(rates[at], curve.smoothed[at], **_CIRCLE, zorder=4)


def _draw_mark(
    axes: Any,
    mark: tuple[float, float, float] | None,
    color: str,
    style: Any,
    label: str,
) -> None:
    """Draws a vertical line at the median, and a band over the range of the seeds."""
    if mark is None:
        return
    median, low, high = mark
    axes.axvspan(low, high, color=color, alpha=0.13, lw=0, zorder=0)
    said = f"{label} {median:.3g}"
    axes.axvline(median, color=color, ls=style, lw=2.4, zorder=1, label=said)


def _set_height(axes: Any, curves: Sequence[Curve]) -> None:
    """Shows the smoothed losses completely, and single losses up to a little more."""
    smoothed = np.concatenate([curve.smoothed for curve in curves])
    smoothed = smoothed[np.isfinite(smoothed)]
    singles = np.concatenate(
        [curve.losses[np.isfinite(curve.smoothed)] for curve in curves]
    )
    singles = singles[np.isfinite(singles)]
    if not smoothed.size:
        return
    low = min(smoothed.min(), np.percentile(singles, 1.0))
    # The last values of a loss that diverges are far above all others.
    high = min(smoothed.max(), 3.0 * np.median(smoothed))
    high = max(high, np.percentile(smoothed, 90.0), smoothed[0])
    if low > 0.0 and high > _DECADE * low:
        room = (high / low) ** _ROOM
        axes.set(yscale="log", ylim=(low / room, high * room))
        if high < 100.0 * low:  # else the powers of ten are enough
            from matplotlib.ticker import LogLocator

            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.minorticks_off()
    else:
        room = (high - low or abs(high) or 1.0) * _ROOM
        axes.set_ylim(low - room, high + room)
