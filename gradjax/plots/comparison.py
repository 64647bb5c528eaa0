"""Learning curves of several optimizers on one problem, as vector graphics."""

import io
from collections.abc import Sequence

import numpy as np

from gradjax.analysis.comparison import Table, thin
from gradjax.types.comparisons import Outcome

# Colour-blind safe colours (Wong 2011).
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def learning_curves(
    tables: Sequence[Table], outcomes: Sequence[Outcome]
) -> dict[str, str]:
    """Draws the median and the range over fresh seeds of each optimizer.

    Args:
      tables: one per problem.
      outcomes: the trials of these problems.

    Returns:
      Heading -> SVG, for each problem with stored curves.
    """
    found = {}
    for table in tables:
        own = [one for one in outcomes if one.problem == table.problem]
        fresh = [one for one in own if one.role == "fresh" and len(one.curve.steps)]
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
        color = _COLORS[k % len(_COLORS)]
        steps, low, median, high = _band(curves)
        axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(steps, median, color=color, label=_plain(row.optimizer))
    axes.set_xlabel("step")
    axes.set_ylabel(_plain(metric.replace("_", " ")))
    axes.set_title(_plain(table.problem), fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "gradjax", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _band(curves: list) -> tuple[np.ndarray, ...]:
    """Returns steps, least, median and largest value at each step that was stored."""
    steps = np.unique(np.concatenate([np.asarray(one.steps) for one in curves]))
    values = np.full((len(curves), steps.size), np.nan)
    for k, one in enumerate(curves):
        values[k, np.searchsorted(steps, one.steps)] = one.values
    seen = ~np.isnan(values).all(axis=0)
    steps, values = steps[seen], values[:, seen]
    return (
        steps,
        np.nanmin(values, axis=0),
        np.nanmedian(values, axis=0),
        np.nanmax(values, axis=0),
    )


def _plain(text: str) -> str:
    """Returns a text that matplotlib does not read as a formula."""
    return text.replace("$", r"\$")
