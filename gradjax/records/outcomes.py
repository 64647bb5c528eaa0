"""Reads finished runs and sweeps as the outcomes that a comparison needs."""

import json
import math
import shlex
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradjax.errors import Refusal
from gradjax.records import opening, reading
from gradjax.records.load import summary_of
from gradjax.types import Series
from gradjax.types.comparisons import SET_ASIDE, STOPPED, Metric, Outcome

SECONDS = "seconds_per_gradient"  # the field of the event with the measured time
_ROLES = {"run": "fresh", "search": "search", "fresh": "fresh"}


def outcomes(workdir: str | Path) -> tuple[Metric, list[Outcome]]:
    """Reads the trials of a finished run or sweep.

    The problem is named with its budget, because only runs of one budget compare. The
    seeds of a run count as fresh; those of a sweep are the ones of its fresh round.

    Args:
      workdir: the folder.

    Returns:
      The metric, on the test split if there is one and else on validation or train, and
      the trials that are not unfinished. Each curve is that of the metric on
      validation; without that split it is that of the batches in training, if there is
      one.

    Raises:
      Refusal: no finished run or sweep, a lesson, or a damaged file.
    """
    folder = Path(workdir)
    if opening.kind_of(folder) != "trials":
        raise Refusal(f"{folder}: is a lesson, which has no trials to compare")
    summary = summary_of(folder)
    store = opening.open_to_read(folder, say=warnings.warn)
    rows = reading.rows(store).values()
    rows = [row for row in rows if row["status"] != "unfinished"]
    metric = _metric(summary, rows)
    measured_s = reading.last_of(store, SECONDS)
    gradient_s = float("nan") if measured_s is None else measured_s
    found = [
        _outcome(store, row, summary, metric, str(folder))._replace(
            seconds=row["num_gradients"] * gradient_s
        )
        for row in rows
    ]
    return metric, _with_curves(store, found, [row["trial"] for row in rows], metric)


def _metric(summary: dict[str, Any], rows: list[dict[str, Any]]) -> Metric:
    """Returns the metric on the test split, or else the one that chose the setting."""
    chosen = summary["metric"]
    split, _, name = chosen.partition("_")
    if any(np.isfinite(row.get(f"test_{name}", np.nan)) for row in rows):
        split = "test"
    counts = summary.get("num_examples") or {}
    return Metric(f"{split}_{name}", direction(name), counts.get(split), chosen)


def direction(metric: str) -> str:
    """Returns "max" for an accuracy or a BLEU score, else "min"."""
    is_score = any(word in metric.lower() for word in ("accuracy", "bleu"))
    return "max" if is_score else "min"


def _outcome(
    store: Any,
    row: dict[str, Any],
    summary: dict[str, Any],
    metric: Metric,
    folder: str,
) -> Outcome:
    settings = store.plan["settings"]
    names = [one["name"] for one in store.plan["space"]] or ["learning_rate"]
    named = [name for name in names if name in row and name != "optimizer"]
    schedule, optimizer = row["schedule"], row["optimizer"]
    role = _ROLES[row["round"].partition("-")[0]]
    measured = metric.chosen_by if role == "search" else metric.name
    failure = row["status"] if row["status"] in (SET_ASIDE, STOPPED) else ""
    has_end = not row["diverged_step"] and not failure
    return Outcome(
        problem=f"{summary['problem']}, {_budget(settings)}",
        optimizer=optimizer if schedule == "constant" else f"{optimizer}, {schedule}",
        role=role,
        seed=row["seed"],
        setting={name: row[name] for name in named if name != "schedule"},
        value=_finite(row.get(measured)) if has_end else float("nan"),
        curve=Series(np.empty(0), np.empty(0)),
        steps=row["steps"],
        diverged_step=row["diverged_step"],
        source=f"{folder}, trial {row['trial']}",
        num_gradients=row["num_gradients"],
        search=_search(store.plan),
        command=_command(folder, row["trial"]),
        places=places(store.plan["space"], row),
        failure=failure,
    )


def places(
    space: Sequence[Mapping[str, Any]], row: Mapping[str, Any]
) -> dict[str, float]:
    """Returns the place of each tuned number of a trial in its declared range.

    A place is the coordinate in the unit cube: 0 at the low end and 1 at the high end,
    over the logarithm for a range `log(low, high)`. A list of numbers has equally
    spaced places in ascending order.

    Args:
      space: the dimensions, as a plan records them.
      row: of the trial.
    """
    found = {}
    for one in space:
        value, own = row.get(one["name"]), one.get("optimizers")
        is_own = not own or row["optimizer"] in own
        if is_own and (at := _place(one, value)) is not None:
            found[one["name"]] = at
    return found


def _place(one: Mapping[str, Any], value: Any) -> float | None:
    """Returns the place of a value in a dimension; None if it is not a number there."""
    listed = [one["low"], one["high"]] if one["kind"] != "choice" else one["values"]
    if not all(type(number) in (int, float) for number in [value, *listed]):
        return None
    if one["kind"] == "choice":
        order = sorted(set(listed))
        return order.index(value) / (len(order) - 1) if len(order) > 1 else None
    scale = math.log if one["kind"] == "log" else float
    low, high, at = (scale(number) for number in (*listed, value))
    return min(max((at - low) / (high - low), 0.0), 1.0) if high > low else None


def _finite(value: Any) -> float:
    """Returns a value at the end; NaN, as of a run that diverged, if it is infinite."""
    return float("nan") if value is None or math.isinf(value) else float(value)


def _search(plan: dict[str, Any]) -> str:
    """Returns the method of the search; successive halving makes it another one."""
    if not plan["space"]:
        return ""
    return plan["search"] + (", halving" if plan["halving"] else "")


def _command(folder: str, trial: str) -> str:
    """Returns a command of a shell that prints the curves of a trial."""
    named = json.dumps(folder, ensure_ascii=False)  # also a literal of Python
    code = f'import gradjax; print(gradjax.load({named}, trial="{trial}").trace)'
    return f"python -c {shlex.quote(code)}"


def _budget(settings: dict[str, Any]) -> str:
    if settings["steps"] is not None:
        length = f"{settings['steps']:,} steps"
    elif settings["epochs"] is not None:
        length = f"{settings['epochs']} epochs"
    else:
        length = "usual length"
    return f"{length}, batch size {settings['batch_size']}"


def _with_curves(
    store: Any, found: list[Outcome], ids: list[str], metric: Metric
) -> list[Outcome]:
    """Adds to each outcome the curve of the metric on validation, or in training."""
    name = metric.name.partition("_")[2]
    parts: dict[str, dict[str, list[Any]]] = {f"validation_{name}": {}, name: {}}
    for trials, curve, steps, values in reading.curves(store):
        if curve in parts:
            for trial in np.unique(trials):
                own = trials == trial
                at = parts[curve].setdefault(str(trial), [])
                at.append((steps[own], values[own]))
    curves = parts[f"validation_{name}"] or parts[name]
    pairs = zip(ids, found, strict=True)
    measured = _measured(store, {trial for trial, one in pairs if one.role == "fresh"})
    return [
        one._replace(
            curve=_joined(curves[trial]) if trial in curves else one.curve,
            measured=measured.get(trial),
        )
        for one, trial in zip(found, ids, strict=True)
    ]


def _measured(store: Any, trials: set[str]) -> dict[str, dict[str, Series]]:
    """Returns trial -> diagnostic -> its curve, without those of single layers."""
    names = {
        path.split("/", 2)[2]
        for _, _, arrays in reading.segments(store)
        for path in arrays
        if path.startswith("measured/")
    }
    names = {one for one in names if not reading.is_of_layer(one)}
    parts: dict[str, dict[str, list[Any]]] = {}
    for ids, name, steps, values in reading.curves(store, trials) if names else ():
        if name in names:
            for trial in np.unique(ids):
                own = ids == trial
                at = parts.setdefault(str(trial), {}).setdefault(name, [])
                at.append((steps[own], values[own]))
    return {
        trial: {name: _joined(own[name]) for name in sorted(own)}
        for trial, own in parts.items()
    }


def _joined(parts: list[Any]) -> Series:
    steps, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(steps, kind="stable")
    return Series(steps[order], values[order])
