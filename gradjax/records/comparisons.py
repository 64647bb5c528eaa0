"""The file of a comparison, and the outcomes of the cells that it lists.

A comparison is a folder with `comparison.json` and one record for each cell: a problem
with its budget, and an optimizer. The records are those of sweeps and runs.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradjax.errors import Refusal
from gradjax.files import write_json
from gradjax.records import inspection, spending
from gradjax.records.load import summary_of
from gradjax.records.outcomes import outcomes
from gradjax.records.plan import PLAN
from gradjax.types import Series
from gradjax.types.comparisons import NEVER_RUN, Metric, Outcome

FILE = "comparison.json"
FORMAT = 1
_OF_OUTCOMES = ("problem", "optimizer", "setting", "chosen_at", "study")
_EXACT = 1e-6  # relative precision that a float32 always has


def check_folder(folder: Path) -> None:
    """Refuses a folder that holds something else than a comparison.

    Raises:
        Refusal: it is a record, or holds other files.
    """
    if not folder.is_dir() or (folder / FILE).is_file():
        return
    if (folder / PLAN).exists():
        raise Refusal(f"{folder} holds a run or a sweep: name another folder")
    found = sorted(entry.name for entry in folder.iterdir())
    foreign = [name for name in found if not name.startswith(f".{FILE}.")]
    if foreign:
        raise Refusal(f"{folder} holds {foreign[0]!r} and no {FILE}: name another one")


def write(folder: Path, asked: dict[str, Any], cells: list[dict[str, Any]]) -> None:
    """Writes the file of a comparison, which replaces an earlier one.

    Args:
      folder: of the comparison; it exists.
      asked: what was asked for, for readers.
      cells: for each cell problem, optimizer, folder (relative), target (a value or
        None), is_varying (whether its steps differ in their number of gradients),
        num_trials and seeds, the range of its fresh seeds; where its setting was chosen
        at another budget also setting and chosen_at; where it is not of the first of
        several independent tunings also study.
    """
    write_json(folder / FILE, {"format": FORMAT, "asked": asked, "cells": cells})


def read(folder: Path) -> dict[str, Any]:
    """Reads the file of a comparison.

    Raises:
        Refusal: it is missing, damaged or of another format.
    """
    path = folder / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        form, cells = found["format"], found["cells"]
        places = [folder / str(cell["folder"]) for cell in cells]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise Refusal(f"{path} cannot be read: {reason}") from error
    if form != FORMAT:
        raise Refusal(f"{path} has format {form!r}: this gradjax reads {FORMAT}")
    inside = folder.resolve()
    for place in places:
        if not place.resolve().is_relative_to(inside):
            raise Refusal(f"{path} names {place}, which lies outside of the folder")
    return found


def asked_of(folder: str | Path) -> dict[str, Any]:
    """Returns what a comparison was asked for; {} of another folder.

    Raises:
        Refusal: see `read`.
    """
    folder = Path(folder)
    return read(folder).get("asked", {}) if (folder / FILE).is_file() else {}


def outcomes_of(folder: str | Path) -> list[tuple[Metric, list[Outcome]]]:
    """Reads a finished run or sweep, or all cells of a finished comparison.

    Args:
      folder: of a record, or of a comparison.

    Returns:
      Of a record its metric and outcomes; of a comparison those of each problem.

    Raises:
        Refusal: see `outcomes`; or a comparison that is not finished.
    """
    folder = Path(folder)
    if not (folder / FILE).is_file():
        metric, own = outcomes(folder)
        seeds = dict.fromkeys(one.seed for one in own if one.role == "fresh")
        return [(metric, [*own, *_never_run(own, [*seeds])])]
    found: dict[str, list[tuple[Metric, list[Outcome]]]] = {}
    for cell in read(folder)["cells"]:
        found.setdefault(cell["problem"], []).append(_outcomes(folder, cell))
    return [_joined(cells) for cells in found.values()]


def has_all(cell: dict[str, Any], summary: dict[str, Any]) -> bool:
    """Returns whether a summary is of all trials and seeds that a cell asks for.

    Args:
      cell: as `write` takes it.
      summary: of the record of the cell.
    """
    seeds = {*range(*cell["seeds"])}
    if not cell["num_trials"]:
        return summary["num_trials"] >= len(seeds)
    (own,) = summary["optimizers"].values()
    known = {*own.get("fresh", {}).get("seeds", ())}
    is_tried = summary["num_trials"] == cell["num_trials"]
    return is_tried and (own["best"] is None or seeds <= known)


def _outcomes(folder: Path, cell: dict[str, Any]) -> tuple[Metric, list[Outcome]]:
    """Returns the trials of a cell that belong to the comparison."""
    place = folder / cell["folder"]
    is_there = not inspection.is_empty(place) and (place / "summary.json").is_file()
    if not is_there or not has_all(cell, summary := summary_of(place)):
        raise Refusal(
            f"{folder}: {cell['optimizer']} on {cell['problem']} is not finished: the"
            " command of the comparison continues it"
        )
    metric, found = outcomes(place)
    (best,) = (one["best"] for one in summary["optimizers"].values())
    tried = [one for one in found if one.role == "search"][: cell["num_trials"]]
    seeds = range(*cell["seeds"])
    fresh = [one for one in found if one.role == "fresh" and one.seed in seeds]
    if cell["num_trials"]:  # an earlier search may have chosen another setting
        fresh = [one for one in fresh if _is_at(one.setting, best)]
    fresh += _never_run([*tried, *fresh], seeds)
    if cell["is_varying"]:
        spent = spending.of_trials(place)
        tried, fresh = (
            [spending.in_gradients(one, spent) for one in of] for of in (tried, fresh)
        )
    about = {key: cell[key] for key in _OF_OUTCOMES if key in cell}
    known = [one._replace(**about) for one in [*tried, *fresh]]
    return metric._replace(target=_eased(cell["target"], metric)), known


def _is_at(setting: dict[str, Any], best: dict[str, Any] | None) -> bool:
    """Returns whether a setting is the best one of the search."""
    return best is not None and all(
        setting.get(name) == value for name, value in best.items()
    )


def _never_run(found: Sequence[Outcome], seeds: Sequence[int]) -> list[Outcome]:
    """Returns the fresh seeds of optimizers that were searched but have none.

    They have no setting, no value and no cost, so that the optimizer stays in the
    table.

    Args:
      found: the trials of a record.
      seeds: those of the fresh seeds that should have run.
    """
    known = {one.optimizer for one in found if one.role == "fresh"}
    tried = {one.optimizer: one for one in found if one.role == "search"}
    return [
        Outcome(
            one.problem,
            name,
            "fresh",
            seed,
            setting={},
            value=float("nan"),
            curve=Series(np.empty(0), np.empty(0)),
            source=f"{one.source.rpartition(',')[0]}: no trial of the search ended",
            failure=NEVER_RUN,
        )
        for name, one in tried.items()
        if name not in known
        for seed in seeds
    ]


def _eased(target: float | None, metric: Metric) -> float | None:
    """Returns a target that a value measured in float32 meets where it is equal."""
    if target is None:
        return None
    return target + (_EXACT if metric.direction == "min" else -_EXACT) * abs(target)


def _joined(
    cells: list[tuple[Metric, list[Outcome]]],
) -> tuple[Metric, list[Outcome]]:
    """Returns the metric of most cells that did not diverge.

    A cell that diverged everywhere does not say that it would have the test split.
    """
    has_end = [
        (metric, own)
        for metric, own in cells
        if any(one.role == "fresh" and math.isfinite(one.value) for one in own)
    ]
    counted = Counter(metric for metric, _ in has_end or cells)
    return counted.most_common(1)[0][0], [one for _, own in cells for one in own]
