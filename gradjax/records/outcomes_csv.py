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
_LARGEST = 1e100  # of a value: its square is still a number
_DIRECTION = "direction"  # likewise: min or max
# Parts of the names of metrics that are to be minimised.
_LOSSES = ("loss", "error", "perplexity", "entropy", "nll", "mse", "mae", "regret")


class _Point(NamedTuple):
    step: int
    value: float
    gradients: float  # spent up to this step; NaN: not known
    seconds: float


def outcomes_csv(path: str | Path) -> list[tuple[Metric, list[Outcome]]]:
    """Reads a file with the columns optimizer, problem, seed, step, metric and value.

    The columns gradients and seconds may be there too: what a run has spent up to a
    step. A column direction says whether "min" or "max" is better; it may be missing
    for a metric with a name such as loss, error or accuracy.

    Each row is one measurement. The value of a run is that of its last step. An empty
    value or one that is not finite means that the run had diverged by that step.

    Args:
      path: a CSV file in UTF-8 with a header; other columns are ignored.

    Returns:
      For each problem and metric, its outcomes; every run counts as a fresh seed.

    Raises:
      Refusal: no such file, a column that is missing, a row that cannot be read, two
        values of one run at one step, or a metric of which nothing says what is better.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            heads = [name.strip().lower() for name in next(reader, [])]
            rows = [(reader.line_num, fields) for fields in reader if fields]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Refusal(f"{path}: cannot be read as CSV in UTF-8: {error}") from error
    missing = [name for name in COLUMNS if rows and name not in heads]
    if missing or not rows:
        what = f"has no column {missing[0]!r}" if missing else "has no rows"
        expected = f"{', '.join(COLUMNS)}, separated by commas"
        raise Refusal(f"{path}: {what}; expected {expected}")
    runs: dict[tuple[str, str], dict[tuple[str, int], list[_Point]]] = {}
    better: dict[str, str] = {}
    for line, fields in rows:
        row = _row(path, line, heads, fields)
        seed, point = _numbers(path, line, row)
        if np.isfinite(point.value) and abs(point.value) > _LARGEST:
            raise Refusal(
                f"{path}, line {line}: the value {row['value']} is beyond {_LARGEST:g}:"
                " leave it empty if the run has diverged"
            )
        own = runs.setdefault((row["problem"], row["metric"]), {})
        points = own.setdefault((row["optimizer"], seed), [])
        if any(one.step == point.step for one in points):
            raise Refusal(
                f"{path}, line {line}: {row['optimizer']} has a second value of"
                f" {row['metric']} at seed {seed} and step {point.step}"
            )
        points.append(point)
        found = _direction(path, line, row)
        if better.setdefault(row["metric"], found) != found:
            raise Refusal(f"{path}, line {line}: {row['metric']} has two directions")
    return [
        (
            Metric(metric, better[metric]),
            [
                _outcome(problem, optimizer, seed, points, path)
                for (optimizer, seed), points in own.items()
            ],
        )
        for (problem, metric), own in runs.items()
    ]


def _row(path: Path, line: int, heads: list[str], fields: list[str]) -> dict[str, str]:
    """Returns the fields of a line by the names of their columns."""
    if len(fields) != len(heads):
        raise Refusal(
            f"{path}, line {line}: has {len(fields)} fields, but there are"
            f" {len(heads)} columns"
        )
    row = dict(zip(heads, fields, strict=True))
    for name in ("optimizer", "problem", "metric"):
        row[name] = row[name].strip()
        if not row[name] or "\0" in row[name]:
            raise Refusal(f"{path}, line {line}: {name} {row[name]!r} is no name")
    return row


def _direction(path: Path, line: int, row: dict[str, str]) -> str:
    """Returns "min" or "max" for the metric of a line."""
    metric, given = row["metric"], row.get(_DIRECTION, "").strip().lower()
    if given in ("min", "max"):
        return given
    if given:
        raise Refusal(f"{path}, line {line}: direction {given!r}: expected min or max")
    found = direction(metric)
    if found == "min" and not any(word in metric.lower() for word in _LOSSES):
        raise Refusal(
            f"{path}, line {line}: the name of the metric {metric!r} does not say"
            " whether larger values are better: add a column direction with min or max"
        )
    return found


def _whole(text: str) -> int:
    """Returns a whole number, also from "10.0" or "1e3"."""
    text = text.strip()
    if text.lstrip("+-").isdecimal():
        return int(text)
    value = float(text)
    if not value.is_integer():
        raise ValueError(text)
    return int(value)


def _numbers(path: Path, line: int, row: dict[str, Any]) -> tuple[int, _Point]:
    try:
        value = row["value"].strip()
        spent = [_spent(row.get(name)) for name in _SPENT]
        step = _whole(row["step"])
        if step < 0:
            raise ValueError(step)
        point = _Point(step, float(value) if value else np.nan, *spent)
        return _whole(row["seed"]), point
    except (ValueError, OverflowError) as error:
        raise Refusal(
            f"{path}, line {line}: seed and step must be whole numbers, the step at"
            f" least 0, and value a number, not {row['seed']!r}, {row['step']!r} and"
            f" {row['value']!r}; gradients and seconds, if there are any, must be at"
            " least 0"
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
