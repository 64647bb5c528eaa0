"""Performance profiles of several optimizers over problems, as vector graphics."""

import io

import numpy as np

from gradjax.analysis.across import Across
from gradjax.analysis.profiles import MAX_RATIO, profile
from gradjax.plots.comparison import COLORS
from gradjax.plots.labels import plain

_NUM_FACTORS = 400


def performance_profiles(found: Across) -> str | None:
    """Draws the profiles of the tuned settings on fresh seeds.

    Args:
      found: the comparison over several problems.

    Returns:
      The SVG; None if a problem has no target.

    Source:
      Dolan and More, Mathematical Programming 91, 2002.
    """
    if found.profiles is None:
        return None
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    factors = np.geomspace(1, 1.2 * MAX_RATIO, _NUM_FACTORS)
    shares = profile(found.profiles.ratios, factors)
    for k, (name, share) in enumerate(zip(found.optimizers, shares, strict=True)):
        color = COLORS[k % len(COLORS)]
        axes.step(factors, share, where="post", color=color, label=plain(name))
    axes.axvline(MAX_RATIO, color="gray", linestyle=":", linewidth=1)
    axes.set_xlabel("factor of the shortest time to target")
    axes.set_ylabel(f"share of {len(found.problems)} problems")
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "gradjax", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
