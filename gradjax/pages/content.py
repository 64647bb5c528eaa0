"""The content of a report as JSON values: what the page's script draws."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradjax.analysis.comparison import Table
from gradjax.analysis.curve_grid import on_common_steps
from gradjax.analysis.horizons import speedups
from gradjax.pages import sentences
from gradjax.pages.cells import columns, command_of, number, words
from gradjax.pages.pairs import pair_cells
from gradjax.pages.profiles import profiles
from gradjax.pages.searches import (
    basins,
    best_of,
    overtakings,
    sensitivities,
    without_best_of,
)
from gradjax.types import Series
from gradjax.types.comparisons import Outcome

_MOST_POINTS = 100_000  # of all curves together: 0.53 MB
_MOST_MEASURED = 30  # diagnostics whose curves a problem keeps
_MOST_OF_A_CURVE, _FEWEST_OF_A_CURVE = 200, 20


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
      {"title", "facts", "across", "speedups", "problems": [{"name", "metric",
      "chosenBy", "direction", "baseline", "optimizers", "answer", "caption",
      "columns", "rows", "pairs", "notes", "rules", "departures", "target", "trials",
      "measured", "axes", "bestOf", "overtakings", "basins", "sensitivities",
      "withoutBestOf"}]}. A number that is not finite is null. Curves are little-endian
      float32 as base64, with NaN after the end of a run.
    """
    return {
        "title": title,
        "facts": dict(facts),
        "across": profiles(tables),
        "speedups": [sentences.speedup(one) for one in speedups(tables)],
        "problems": [_problem(table, _points_of_each(tables)) for table in tables],
    }


def _points_of_each(tables: Sequence[Table]) -> int:
    """Returns how many points of a curve the page keeps, so that it stays small."""
    fresh = [one for table in tables for one in table.outcomes if one.role == "fresh"]
    return min(
        max(_MOST_POINTS // max(len(fresh), 1), _FEWEST_OF_A_CURVE), _MOST_OF_A_CURVE
    )


def _problem(table: Table, num_points: int) -> dict[str, Any]:
    axes: list[str] = []  # the steps of curves, which many trials share
    target = table.target
    return {
        "name": table.problem,
        "metric": words(table.metric.name),
        "chosenBy": words(table.metric.chosen_by or table.metric.name),
        "direction": table.metric.direction,
        "baseline": table.baseline,
        "optimizers": [row.optimizer for row in table.rows],
        "answer": sentences.answer(table),
        "caption": sentences.caption(table),
        "columns": columns(table),
        "rows": [_row(table, k) for k in range(len(table.rows))],
        "pairs": [pair_cells(one) for one in table.pairs],
        "notes": sorted({doubt for row in table.rows for doubt in row.doubts}),
        "rules": [rule._asdict() for rule in table.rules],
        "departures": [rule._asdict() for rule in table.rules if rule.is_kept is False],
        "target": None if target is None else target._asdict(),
        "trials": _trials(table, axes, num_points),
        "measured": _measured_names(table),
        "axes": axes,
        "bestOf": best_of(table),
        "overtakings": overtakings(table),
        "basins": basins(table),
        "sensitivities": sensitivities(table),
        "withoutBestOf": without_best_of(table),
    }


def _row(table: Table, k: int) -> dict[str, Any]:
    row = table.rows[k]
    command, source = command_of(row, table)
    return {
        "optimizer": row.optimizer,
        "doubts": list(row.doubts),
        "command": command,
        "source": source,
    }


def _trials(table: Table, axes: list[str], num_points: int) -> list[dict[str, Any]]:
    """Returns all trials, the fresh seeds with their curves.

    The curves of an optimizer have common steps. These are added to the axes if no
    other trial has them.
    """
    drawn: list[dict[str, Any]] = [{} for _ in table.outcomes]
    for row in table.rows:
        own = [
            k
            for k, one in enumerate(table.outcomes)
            if (one.role, one.optimizer) == ("fresh", row.optimizer)
        ]
        curves = [table.outcomes[k].curve for k in own]
        for k, curve in zip(own, on_common_steps(curves, num_points), strict=True):
            drawn[k] = _curve(table.outcomes[k], curve, axes)
        for name in _measured_names(table):
            _add_measured(drawn, own, name, table, axes)
    return [one | _trial(of) for one, of in zip(drawn, table.outcomes, strict=True)]


def _measured_names(table: Table) -> list[str]:
    """Returns the diagnostics of the fresh seeds, at most thirty."""
    found = {name for one in table.outcomes for name in one.measured or ()}
    return sorted(found)[:_MOST_MEASURED]


def _add_measured(
    drawn: list[dict[str, Any]],
    own: list[int],
    name: str,
    table: Table,
    axes: list[str],
) -> None:
    """Adds the curves of one diagnostic to the seeds of one optimizer."""
    known = [k for k in own if name in (table.outcomes[k].measured or {})]
    curves = [(table.outcomes[k].measured or {})[name] for k in known]
    fresh = sum(one.role == "fresh" for one in table.outcomes)
    count = _MOST_POINTS // max(fresh * len(_measured_names(table)), 1)
    count = min(max(count, _FEWEST_OF_A_CURVE), _MOST_OF_A_CURVE)
    for k, curve in zip(known, on_common_steps(curves, count), strict=True):
        packed = _curve(table.outcomes[k], curve, axes)
        own_values = {part: packed[part] for part in ("axis", "values")}
        drawn[k].setdefault("measured", {})[name] = own_values


def _trial(one: Outcome) -> dict[str, Any]:
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
        "failure": one.failure,
        "source": one.source,
    }


def _curve(one: Outcome, curve: Series, axes: list[str]) -> dict[str, Any]:
    axis = _packed(curve.steps)
    if axis not in axes:
        axes.append(axis)
    per_step = 1 / max(one.steps, 1)
    return {
        "axis": axes.index(axis),
        "values": _packed(curve.values),
        "gradientsPerStep": one.num_gradients * per_step or None,
        "secondsPerStep": number(one.seconds * per_step),
    }


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(np.asarray(values, "<f4").tobytes()).decode("ascii")
