"""Opens a sweep, or a run, as two pandas frames: a row a trial, a row a point."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.errors import Refusal
from gradjax.records import opening, store
from gradjax.records.load import load
from gradjax.records.plan import PLAN
from gradjax.types import Series

Columns = dict[str, list[Any]]


class Frames(NamedTuple):
    """What is known of the trials of one folder."""

    trials: Any  # a DataFrame, a row a trial
    curves: Any  # a DataFrame: trial, name, step, value


def frames(workdir: str | Path) -> Frames:
    """Opens the folder of a sweep, finished or not, or that of a finished run.

    Nothing is changed, and a sweep may be running meanwhile.

    Returns:
      `trials`: `trial` (its id; of a run its number), `round` and `group` (of a sweep),
      `seed`, every hyperparameter that was varied, `status` (finished, diverged,
      stopped by halving, set aside, unfinished), `steps` taken, `diverged_step` (0:
      never), `num_gradients`, `<split>_<metric>` at the end, `environment` (0: that of
      the plan; k: the k-th that was accepted later).
      `curves`: the points that are kept of every curve; a training curve's are means
      over the steps since the point before.

    Raises:
        Refusal: neither is there, a file is damaged, or pandas is missing.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise Refusal("frames need pandas: pip install 'gradjax[pandas]'") from error
    folder = Path(workdir)
    is_sweep = (folder / PLAN).is_file()
    rows, curves = _of_sweep(folder) if is_sweep else _of_run(folder)
    return Frames(pandas.DataFrame(rows), pandas.DataFrame(curves))


def _of_sweep(folder: Path) -> tuple[list[dict[str, Any]], Columns]:
    opened = opening.open_to_read(folder, say=warnings.warn)
    rows = _listed(store.events(opened))
    curves: Columns = {"trial": [], "name": [], "step": [], "value": []}
    ended: dict[str, int] = {}  # cohort -> steps that its last unit reached
    for name, record in sorted(opened.units.items()):
        kept = store.read(opened, name)
        cohort = name.rpartition("-")[0]
        ended[cohort] = max(ended.get(cohort, 0), record["steps"])
        for k, trial in enumerate(kept["trial"]):
            row = rows[str(trial)]
            row |= _end(kept, k, record) | {"cohort": cohort}
        _add_curves(curves, kept)
    for row in rows.values():
        row["status"] = _status(row, ended)
        for name in ("cohort", "is_set_aside", "num_steps"):
            row.pop(name, None)
    return list(rows.values()), _flat(curves)


def _listed(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Trial -> what its round says of it."""
    rows: dict[str, dict[str, Any]] = {}
    for event in events:
        if "round" not in event:
            continue
        for trial, listed in zip(event["ids"], event["trials"], strict=True):
            about = {"trial": trial, "round": event["round"], "group": listed["group"]}
            rows[trial] = about | {"seed": listed["seed"], **listed["point"]}
    return rows


def _end(kept: dict[str, np.ndarray], k: int, record: dict[str, Any]) -> dict[str, Any]:
    """What a unit says of one of its trials."""
    found = {
        "steps": record["steps"],
        "num_steps": record["num_steps"],
        "diverged_step": int(kept["diverged_step"][k]),
        "num_gradients": int(kept["num_gradients"][k]),
        "is_set_aside": bool(kept["is_set_aside"][k]),
        "environment": record.get("environment", 0),
    }
    if found["diverged_step"]:
        return found | {"steps": found["diverged_step"]}
    if record["steps"] < record["num_steps"]:
        return found
    for path, values in kept.items():
        part, *names = path.split("/")
        if part == "last":
            found["_".join(names)] = float(values[k])
        elif part == "validation":
            found[f"validation_{names[0]}"] = float(values[k, -1])
    return found


def _status(row: dict[str, Any], ended: dict[str, int]) -> str:
    if "steps" not in row:
        return "unfinished"
    if row["is_set_aside"]:
        return "set aside"
    if row["diverged_step"]:
        return "diverged"
    if row["steps"] == row["num_steps"]:
        return "finished"
    return "stopped" if ended[row["cohort"]] > row["steps"] else "unfinished"


def _add_curves(curves: Columns, kept: dict[str, np.ndarray]) -> None:
    for path, values in kept.items():
        part, *names = path.split("/")
        if part not in ("trace", "validation"):
            continue
        name = names[0] if part == "trace" else f"validation_{names[0]}"
        steps = np.broadcast_to(kept[f"{part}_step"], values.shape)
        after = (kept["diverged_step"][:, None] > 0) & (
            steps > kept["diverged_step"][:, None]
        )
        is_seen = ~np.isnan(values) & ~after
        trial = np.broadcast_to(kept["trial"][:, None], values.shape)
        _add(curves, trial[is_seen], name, steps[is_seen], values[is_seen])


def _of_run(folder: Path) -> tuple[list[dict[str, Any]], Columns]:
    run = load(folder)
    rows = [{"trial": k, **one} for k, one in enumerate(run.summary.get("trials", []))]
    for row, seed in zip(rows, run.summary.get("seeds", []), strict=False):
        row["seed"] = seed
    curves: Columns = {"trial": [], "name": [], "step": [], "value": []}
    for name, series in run.trace.items():
        _add_series(curves, name, series)
    return rows, _flat(curves)


def _add_series(curves: Columns, name: str, series: Series) -> None:
    values = np.atleast_2d(series.values)
    steps = np.broadcast_to(np.asarray(series.steps), values.shape)
    trial = np.broadcast_to(np.arange(len(values))[:, None], values.shape)
    is_seen = ~np.isnan(values)
    _add(curves, trial[is_seen], name, steps[is_seen], values[is_seen])


def _add(curves: Columns, trial: Any, name: str, step: Any, value: Any) -> None:
    parts = (trial, np.full(len(trial), name, object), step, value)
    for column, part in zip(curves.values(), parts, strict=True):
        column.append(part)


def _flat(curves: Columns) -> dict[str, Any]:
    return {
        name: np.concatenate(parts) if parts else np.empty(0)
        for name, parts in curves.items()
    }
