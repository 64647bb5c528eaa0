"""Reads anyone's results from a CSV file as the outcomes of a comparison."""

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.errors import Refusal
from gradjax.records.outcomes import direction
from gradjax.types import Series
from gradjax.types.comparisons import Metric, Outcome

COLUMNS = ("optimizer", "problem", "seed", "step", "metric", "value")
_SPENT = ("gradients", "seconds")  # columns that may be missing


class _Point(NamedTuple):
    step: int
    value: float
    gradients: float  # spent up to this step; NaN: not known
    seconds: float


def outcomes_csv(path: str | Path) -> list[tuple[Metric, list[Outcome]]]:
    """Reads a file with the columns optimizer, problem, seed, step, metric and value.

    The columns gradients and seconds may be there too: what a run has spent up to a
    step.

    Each row is one measurement. The value of a run is that of its last step. An empty
    value or one that is not finite means that the run had diverged by that step.

    Args:
      path: a CSV file in UTF-8 with a header; other columns are ignored.

    Returns:
      For each problem and metric, its outcomes; every run counts as a fresh seed.

    Raises:
      Refusal: no such file, a column that is missing, or a row that cannot be read.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path}: cannot be read as CSV in UTF-8: {error}") from error
    missing = [name for name in COLUMNS if rows and name not in rows[0]]
    if missing or not rows:
        what = f"has no column {missing[0]!r}" if missing else "has no rows"
        raise Refusal(f"{path}: {what}; expected {', '.join(COLUMNS)}")
    runs: dict[tuple[str, str], dict[tuple[str, int], list[_Point]]] = {}
    for line, row in enumerate(rows, start=2):
        seed, point = _numbers(path, line, row)
        own = runs.setdefault((row["problem"], row["metric"]), {})
        own.setdefault((row["optimizer"], seed), []).append(point)
    return [
        (
            Metric(metric, direction(metric)),
            [
                _outcome(problem, optimizer, seed, points, path)
                for (optimizer, seed), points in own.items()
            ],
        )
        for (problem, metric), own in runs.items()
    ]


def _numbers(path: Path, line: int, row: dict[str, Any]) -> tuple[int, _Point]:
    try:
        value = row["value"].strip()
        spent = [_spent(row.get(name)) for name in _SPENT]
        point = _Point(int(row["step"]), float(value) if value else np.nan, *spent)
        return int(row["seed"]), point
    except (ValueError, AttributeError) as error:
        raise Refusal(
            f"{path}, line {line}: seed and step must be integers and value a number, "
            f"not {row['seed']!r}, {row['step']!r} and {row['value']!r}; gradients and "
            "seconds, if there are any, must be at least 0"
        ) from error


def _spent(text: str | None) -> float:
    """Returns gradients or seconds; NaN where there is no value."""
    value = float(text) if text and text.strip() else np.nan
    if value < 0 or np.isinf(value):
        raise ValueError(text)
    return value


def _outcome(
    problem: str,
    optimizer: str,
    seed: int,
    points: list[_Point],
    path: Path,
) -> Outcome:
    points = sorted(points, key=lambda point: point.step)
    steps = np.array([point.step for point in points])
    values = np.array([point.value for point in points])
    gradients = points[-1].gradients
    lost = np.flatnonzero(~np.isfinite(values))
    diverged = int(steps[lost[0]]) if lost.size else 0
    return Outcome(
        problem,
        optimizer,
        "fresh",
        seed,
        {},
        float("nan") if lost.size else float(values[-1]),
        Series(steps, np.where(np.isfinite(values), values, np.nan)),
        int(steps[-1]),
        diverged,
        str(path),
        num_gradients=0 if np.isnan(gradients) else int(gradients),
        seconds=points[-1].seconds,
    )
