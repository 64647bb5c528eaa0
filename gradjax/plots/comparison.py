"""Learning curves of several optimizers on one problem, as vector graphics."""

import io
from collections.abc import Sequence

import numpy as np

from gradjax.analysis.comparison import Table
from gradjax.analysis.curve_grid import on_common_steps
from gradjax.plots.bands import Band
from gradjax.plots.labels import plain
from gradjax.types.comparisons import Outcome

# Colour-blind safe colours (Wong 2011).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def learning_curves(tables: Sequence[Table]) -> dict[str, str]:
    """Draws the median and the range over fresh seeds of each optimizer.

    A seed that diverged or has no result counts as the worst value from there on, so
    the median ends where half of the seeds are lost. Both end where another seed ends.

    Args:
      tables: one per problem and metric.

    Returns:
      Heading -> SVG, for each table with stored curves.
    """
    found = {}
    for table in tables:
        fresh = [one for one in table.outcomes if one.role == "fresh"]
        if any(len(one.curve.steps) for one in fresh):
            found[f"{table.problem}: {table.metric.name}"] = _draw(table, fresh)
    return found


def _draw(table: Table, fresh: list[Outcome]) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    metric = table.metric.chosen_by or table.metric.name
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    for k, row in enumerate(table.rows):
        own = [one for one in fresh if one.optimizer == row.optimizer]
        color = COLORS[k % len(COLORS)]
        steps, low, median, high = band_of(own, table.metric.direction)
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


def band_of(own: Sequence[Outcome], direction: str) -> Band:
    """Returns the median and the range over the seeds of one optimizer.

    Args:
      own: its fresh seeds.
      direction: "min" or "max", which says what the worst value is.

    Returns:
      The points at which every seed has a value or is lost. The median is NaN where
      half of the seeds are lost, and the range is that of the others.
    """
    curves = on_common_steps([one.curve for one in own])
    steps = np.unique(np.concatenate([np.asarray(one.steps, float) for one in curves]))
    worst = np.inf if direction == "min" else -np.inf
    values = np.full((len(own), steps.size), np.nan)
    for k, (one, curve) in enumerate(zip(own, curves, strict=True)):
        at = np.searchsorted(steps, curve.steps)
        values[k, at] = curve.values
        seen = at[np.isfinite(curve.values)]
        if np.isnan(one.value):
            values[k, seen[-1] + 1 if seen.size else 0 :] = worst
    values = values[:, is_full := ~np.isnan(values).any(axis=0)]
    finite = np.where(np.isfinite(values), values, np.nan)
    is_seen = ~np.isnan(finite).all(axis=0)
    values, finite = values[:, is_seen], finite[:, is_seen]
    if not is_seen.any():  # numpy warns of a range without points
        return Band(steps[:0], finite[0], finite[0], finite[0])
    ordered = np.sort(values, axis=0)
    middle = (len(own) - 1) / 2
    two = ordered[int(np.floor(middle))], ordered[int(np.ceil(middle))]
    with np.errstate(invalid="ignore"):
        median = np.where(np.isfinite(two[0] + two[1]), (two[0] + two[1]) / 2, np.nan)
    shown = steps[is_full][is_seen]
    return Band(shown, np.nanmin(finite, axis=0), median, np.nanmax(finite, axis=0))
