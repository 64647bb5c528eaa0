"""The curves of all trials on one axis, coloured by their learning rate."""

import io
from typing import Any

import numpy as np

_TEXT = 14  # points: half the size is still read
_MOST = 1_000  # curves that are drawn: more are one blot


def trials(steps: Any, losses: Any, rates: Any, ylabel: str) -> bytes:
    """Draws every trial's loss over steps.

    Args:
      steps: i32[points].
      losses: f[trials, points]; NaN where a trial had ended.
      rates: f[trials], above 0, what colours them; NaN: grey.
      ylabel: the loss's name.

    Returns:
      A PNG. The curve that ends lowest is black and thick.
    """
    from matplotlib import colormaps, colors
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), dpi=110, layout="constrained")
    axes = figure.subplots()
    steps, losses, rates = map(np.asarray, (steps, losses, rates))
    known = rates[np.isfinite(rates) & (rates > 0)]
    scale = colors.LogNorm(known.min(), known.max()) if len(set(known)) > 1 else None
    for row in range(min(len(losses), _MOST)):
        color = colormaps["viridis"](scale(rates[row])) if scale else "#888888"
        axes.plot(steps, losses[row], color=color, lw=1.0, alpha=0.7)
    last = np.where(np.isfinite(losses[:, -1]), losses[:, -1], np.inf)
    if np.isfinite(last).any():
        best = int(last.argmin())
        axes.plot(
            steps, losses[best], color="black", lw=2.5, label="the lowest at the end"
        )
        axes.legend(frameon=False, fontsize=_TEXT)
    finite = losses[np.isfinite(losses)]
    if finite.size and finite.min() > 0:
        top = (
            np.quantile(losses[np.isfinite(losses[:, 0]), 0], 0.9) if len(losses) else 1
        )
        axes.set(
            yscale="log", ylim=(finite.min() / 1.2, max(10 * top, finite.min() * 10))
        )
    axes.set_xlabel("step", fontsize=_TEXT)
    axes.set_ylabel(ylabel, fontsize=_TEXT)
    axes.tick_params(labelsize=_TEXT - 1)
    axes.grid(visible=True, which="both", lw=0.3, alpha=0.6)
    if scale:
        bar = figure.colorbar(ScalarMappable(scale, "viridis"), ax=axes)
        bar.set_label("learning rate", fontsize=_TEXT)
        bar.ax.tick_params(labelsize=_TEXT - 2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradjax"})
    return buffer.getvalue()
