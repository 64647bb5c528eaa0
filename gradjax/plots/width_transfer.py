"""The loss over the learning rate at several widths, and the best rate over widths."""

import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from gradjax.plots.labels import plain

# From light to dark, so that wider networks are darker; the best rates have two colours
# that a colour-blind reader can tell apart (Wong 2011).
_WIDTHS = ("#9ECAE1", "#6BAED6", "#4292C6", "#2171B5", "#08519C", "#08306B")
_PANELS = {"standard": "#D55E00", "mup": "#0072B2"}
_TEXT = 13  # points, still readable at half the size


class Sweep(NamedTuple):
    """The losses of one network over the learning rate."""

    rates: Any  # f[rates], increasing
    losses: Any  # f[rates], above 0; inf: it diverged
    best: float | None  # the best rate


Sweeps = Mapping[int, Sweep]  # width -> sweep


def width_transfer(title: str, found: Mapping[str, Mapping[str, Sweeps]]) -> bytes:
    """Draws sweeps over the rate for each width, standard and muP side by side.

    Args:
      title: the title of the figure.
      found: optimizer -> parametrization -> width -> Sweep. Each optimizer is a row;
        its last panel shows the best rate over the width, for every parametrization.

    Returns:
      A PNG.
    """
    from matplotlib.figure import Figure

    num_columns = 1 + max(map(len, found.values()))
    size = (5.2 * num_columns, 4.4 * len(found))
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    figure.suptitle(plain(title), fontsize=_TEXT + 2)
    rows = figure.subplots(len(found), num_columns, squeeze=False)
    for row, (optimizer, by_name) in zip(rows, found.items(), strict=True):
        limits = _limits(by_name)
        for axes, (name, sweeps) in zip(row, by_name.items(), strict=False):
            _draw_sweeps(axes, sweeps)
            axes.set_title(plain(f"{optimizer}, {name}"), fontsize=_TEXT)
            axes.set(ylim=limits)
        _draw_best(row[-1], by_name)
        row[-1].set_title(plain(f"{optimizer}: best rate"), fontsize=_TEXT)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()


def _limits(by_name: Mapping[str, Sweeps]) -> tuple[float, float]:
    """Returns the common range of the finite losses of all panels of a row."""
    sweeps = [sweep for one in by_name.values() for sweep in one.values()]
    losses = np.concatenate([np.asarray(sweep.losses, float) for sweep in sweeps])
    finite = losses[np.isfinite(losses) & (losses > 0.0)]
    if not finite.size:
        return 0.1, 10.0
    return float(finite.min()) / 1.3, float(finite.max()) * 1.3


def _draw_sweeps(axes: Any, sweeps: Sweeps) -> None:
    for k, (width, sweep) in enumerate(sweeps.items()):
        color = _WIDTHS[k * (len(_WIDTHS) - 1) // max(len(sweeps) - 1, 1)]
        losses = np.asarray(sweep.losses, float)
        shown = np.where(np.isfinite(losses), losses, np.nan)
        label = f"width {width:,}"
        axes.plot(sweep.rates, shown, color=color, marker="o", ms=4, lw=2, label=label)
        if sweep.best is not None:
            at = list(sweep.rates).index(sweep.best)
            axes.plot(sweep.best, losses[at], marker="*", ms=15, color=color, mec="k")
    rates = [rate for sweep in sweeps.values() for rate in sweep.rates]
    axes.set(xlim=(min(rates) / 1.2, max(rates) * 1.2), yscale="log")
    axes.set(xlabel="learning rate", ylabel="training loss")
    axes.set_xscale("log", base=2)
    axes.xaxis.label.set_size(_TEXT)
    axes.yaxis.label.set_size(_TEXT)
    axes.legend(frameon=False, fontsize=_TEXT - 3)
    axes.grid(visible=True, lw=0.4, alpha=0.6)


def _draw_best(axes: Any, by_name: Mapping[str, Sweeps]) -> None:
    for name, sweeps in by_name.items():
        bests = [one.best or np.nan for one in sweeps.values()]
        style = {"color": _PANELS.get(name, "black"), "marker": "o", "lw": 2.5}
        axes.plot(list(sweeps), bests, label=plain(name), **style)
    widths = list(next(iter(by_name.values())))
    # The limits of x are set first: points without a best rate do not count for them.
    axes.set(xlim=(min(widths) / 1.1, max(widths) * 1.1), xscale="log")
    axes.set(xlabel="width", ylabel="best learning rate")
    axes.set_yscale("log", base=2)
    axes.set_xticks(widths, [f"{width:,}" for width in widths])
    axes.minorticks_off()
    known = [one.best for sweeps in by_name.values() for one in sweeps.values()]
    bests = [best for best in known if best is not None] or [1.0]
    axes.set_ylim(min(bests) / 4.0, max(bests) * 4.0)
    axes.xaxis.label.set_size(_TEXT)
    axes.yaxis.label.set_size(_TEXT)
    axes.legend(frameon=False, fontsize=_TEXT - 2)
    axes.grid(visible=True, lw=0.4, alpha=0.6)
