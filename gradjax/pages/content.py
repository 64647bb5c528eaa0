"""The content of a report as JSON values: what the page's script draws."""

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradjax.analysis.comparison import Row, Table, thin
from gradjax.analysis.tuning_curves import median_best_of
from gradjax.analysis.verdicts import describe
from gradjax.types.comparisons import Metric, Outcome

_FEWEST_TRIALS = 2  # for a curve over the number of trials


def content(
    title: str,
    tables: Sequence[Table],
    facts: Mapping[str, str],
) -> dict[str, Any]:
    """Returns everything that the page shows, as JSON values.

    Args:
      title: the heading of the page.
      tables: one per problem and metric.
      facts: names and texts of the closing section, such as versions and commands.

    Returns:
      {"title", "facts", "problems": [{"name", "metric", "chosenBy", "direction",
      "baseline", "rows", "notes", "trials", "axes", "bestOf"}]}. A number that is not
      finite is null. Curves are little-endian float32 as base64, with NaN after the end
      of a run.
    """
    return {
        "title": title,
        "facts": dict(facts),
        "problems": [_problem(table) for table in tables],
    }


def number(value: float) -> float | None:
    """Returns a finite number, or None, because JSON has no NaN."""
    return float(value) if math.isfinite(value) else None


def _problem(table: Table) -> dict[str, Any]:
    axes: list[str] = []  # the steps of curves, which many trials share
    return {
        "name": table.problem,
        "metric": words(table.metric.name),
        "chosenBy": words(table.metric.chosen_by or table.metric.name),
        "direction": table.metric.direction,
        "baseline": table.baseline,
        "rows": [row_cells(row) for row in table.rows],
        "notes": sorted({doubt for row in table.rows for doubt in row.doubts}),
        "trials": [_trial(one, axes) for one in table.outcomes],
        "axes": axes,
        "bestOf": _best_of(table.outcomes, table.metric),
    }


def row_cells(row: Row) -> dict[str, Any]:
    """Returns the cells of a row of the main table."""
    interval = row.interval
    return {
        "optimizer": row.optimizer,
        "setting": {name: shown(value) for name, value in row.setting.items()},
        "median": number(row.median),
        "mean": None if interval is None else number(interval.estimate),
        "low": None if interval is None else number(interval.low),
        "high": None if interval is None else number(interval.high),
        "diverged": row.num_diverged,
        "seeds": len(row.seeds),
        "verdict": None if row.verdict is None else describe(row.verdict),
        "word": None if row.verdict is None else row.verdict.word,
        "p": None if row.verdict is None else number(row.verdict.p_value),
        "doubts": list(row.doubts),
    }


def words(name: str) -> str:
    """Returns the words of a name: "test_accuracy" is "test accuracy"."""
    return name.replace("_", " ")


def shown(value: Any) -> str:
    """Returns a setting as a person writes it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _trial(one: Outcome, axes: list[str]) -> dict[str, Any]:
    """Returns a trial; its steps are added to the axes if no other trial has them."""
    steps, values = thin(one.curve)
    axis = _packed(steps)
    if axis not in axes:
        axes.append(axis)
    return {
        "optimizer": one.optimizer,
        "role": one.role,
        "seed": one.seed,
        "setting": {
            name: number(value) if isinstance(value, int | float) else str(value)
            for name, value in one.setting.items()
        },
        "value": number(one.value),
        "divergedStep": one.diverged_step,
        "source": one.source,
        "axis": axes.index(axis),
        "values": _packed(values),
    }


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(np.asarray(values, "<f4").tobytes()).decode("ascii")


def _best_of(outcomes: Sequence[Outcome], metric: Metric) -> list[dict[str, Any]]:
    """Returns the median best of k settings of each optimizer that was tuned.

    A setting with several seeds counts with their mean.
    """
    tried: dict[str, dict[Any, list[float]]] = {}
    for one in outcomes:
        if one.role == "search":
            settings = tried.setdefault(one.optimizer, {})
            settings.setdefault(str(one.setting), []).append(one.value)
    found = []
    for optimizer, settings in tried.items():
        values = [float(np.mean(seeds)) for seeds in settings.values()]
        if len(values) < _FEWEST_TRIALS:
            continue
        counts = np.arange(1, len(values) + 1)
        best = median_best_of(values, counts, metric.direction)
        found.append({"optimizer": optimizer, "median": [number(v) for v in best]})
    return found
