"""Learning curves of several optimizers on one problem, as vector graphics."""

import io
from collections.abc import Sequence

import numpy as np

from gradjax.analysis.comparison import Table, thin
from gradjax.plots.bands import Band, band
from gradjax.plots.labels import plain
from gradjax.types import Series
from gradjax.types.comparisons import Outcome

# Colour-blind safe colours (Wong 2011).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def learning_curves(tables: Sequence[Table]) -> dict[str, str]:
    """Draws the median and the range over fresh seeds of each optimizer.

    Args:
      tables: one per problem and metric.

    Returns:
      Heading -> SVG, for each table with stored curves.
    """
    found = {}
    for table in tables:
        fresh = [one for one in table.outcomes if one.role == "fresh"]
        fresh = [one for one in fresh if len(one.curve.steps)]
        if fresh:
            found[f"{table.problem}: {table.metric.name}"] = _draw(table, fresh)
    return found


def _draw(table: Table, fresh: list[Outcome]) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    metric = table.metric.chosen_by or table.metric.name
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    for k, row in enumerate(table.rows):
        curves = [thin(one.curve) for one in fresh if one.optimizer == row.optimizer]
        if not curves:
            continue
        color = COLORS[k % len(COLORS)]
        steps, low, median, high = _band_of(curves)
        axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(steps, median, color=color, label=plain(row.optimizer))
    axes.set_xlabel("step")
    axes.set_ylabel(plain(metric.replace("_", " ")))
    axes.set_title(plain(table.problem), fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "gradjax", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _band_of(curves: Sequence[Series]) -> Band:
    """Returns the band of curves that may have been stored at different steps."""
    steps = np.unique(np.concatenate([np.asarray(one.steps) for one in curves]))
    values = np.full((len(curves), steps.size), np.nan)
    for k, one in enumerate(curves):
        values[k, np.searchsorted(steps, one.steps)] = one.values
    return band(steps, values)
