"""Reads the trials of a store: a row each, and their curves."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradjax.records import extension
from gradjax.records import store as stored
from gradjax.types import Series

Row = dict[str, Any]


def rows(store: Any) -> dict[str, Row]:
    """Returns trial id -> the row of the trial, in the order of the rounds."""
    found = trial_records(store)
    ended: dict[str, int] = {}  # cohort -> steps that its last segment reached
    unlisted: set[str] = set()  # rounds of which the journal has lost the trials
    for cohort, record, arrays in segments(store):
        ended[cohort] = max(ended.get(cohort, 0), record["steps"])
        is_listed = _are_listed(found, cohort, arrays["trial"])
        unlisted |= set() if is_listed.all() else {_label(cohort)}
        for k in np.flatnonzero(is_listed).tolist():
            row = found[str(arrays["trial"][k])]
            row |= _end(arrays, k, record) | {"cohort": cohort}
            _add_kept(row, arrays, k)
    for label in sorted(unlisted):
        store.say(
            f"{store.folder}: the journal has lost the list of the trials of {label},"
            " which are left out; the same command restores it"
        )
    has_others = any("worker" in one for one in stored.events(store))
    for row in found.values():
        if not has_others:  # all workers were as the plan says
            row.pop("worker_environment", None)
        row["status"] = _status(row, ended)
        if row["status"] not in ("finished", "stopped early"):
            measured = [name for name in row if name.startswith(_MEASURED)]
            row |= dict.fromkeys(measured, float("nan"))
        for metric in [name[5:] for name in row if name.startswith("test_")]:
            row.setdefault(f"train_{metric}", float("nan"))  # a sweep leaves it out
        for name in ("cohort", "label", "is_set_aside", "num_steps", "early_step"):
            row.pop(name, None)
    return found


def curves(store: Any, trials: set[str] | None = None) -> Iterator[tuple[Any, ...]]:
    """Yields (trial ids, name, steps, values) of each curve in each segment, flat.

    Args:
      store: open to read.
      trials: the ids of trials; None: all.
    """
    known = trial_records(store)
    for cohort, _, arrays in segments(store):
        ids = arrays["trial"]
        is_asked = _are_listed(known, cohort, ids)
        if trials is not None:
            is_asked &= np.isin(ids, list(trials))
        if not is_asked.any():
            continue
        ends = np.maximum(arrays["diverged_step"], arrays["early_step"])[:, None]
        for path, values in arrays.items():
            part, _, rest = path.partition("/")
            if part not in ("trace", "validation", "measured") or not rest:
                continue
            name = rest if part == "trace" else f"validation_{rest}"
            axis = f"{part}_step"
            if part == "measured":  # each diagnostic has its own steps
                k, _, name = rest.partition("/")
                axis = f"measured_step/{k}"
            steps = np.broadcast_to(arrays[axis], values.shape)
            is_after = (ends > 0) & (steps > ends)
            is_seen = is_asked[:, None] & ~np.isnan(values) & ~is_after
            trial = np.broadcast_to(ids[:, None], values.shape)
            yield trial[is_seen], name, steps[is_seen], values[is_seen]


def is_of_layer(name: str) -> bool:
    """Returns whether a curve is that of one layer, or of one place of an array."""
    return "/" in name or name.rpartition(".")[2].isdecimal()


def trace_of(store: Any, trial: str) -> dict[str, Series]:
    """Returns the curves of one trial: values f32[points]."""
    parts: dict[str, list[tuple[Any, Any]]] = {}
    for _, name, steps, values in curves(store, {trial}):
        parts.setdefault(name, []).append((steps, values))
    return {
        name: Series(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
        for name, pieces in parts.items()
    }


def segments(store: Any) -> Iterator[tuple[str, Row, dict[str, np.ndarray]]]:
    """Yields (cohort, record, arrays) of each committed segment, ordered by name."""
    for name, record in sorted(segment_records(store).items()):
        yield name.rpartition("-")[0], record, stored.read(store, name)


def segment_records(store: Any) -> dict[str, Row]:
    """Returns name -> record of each segment; those that a longer run has are left out.

    A run that was extended has a copy of its first segments.
    """
    continued = extension.continued(stored.events(store))
    return {
        name: record
        for name, record in stored.committed_segments(store).items()
        if _label(name) not in continued
    }


# A trial with one of these statuses has a result that a comparison can use.
ENDED = ("finished", "stopped early", "diverged")
_MEASURED = ("train_", "validation_", "test_")


def trial_records(store: Any) -> dict[str, Row]:
    """Returns trial id -> what the journal holds of the trial, in order."""
    found: dict[str, Row] = {}
    continued = extension.continued(stored.events(store))
    for event in stored.events(store):
        if "round" not in event or extension.label(event) in continued:
            continue
        for trial, one in zip(event["ids"], event["trials"], strict=True):
            about = {"trial": trial, "round": event["round"], "group": one["group"]}
            about["label"] = extension.label(event)
            about |= {name: one[name] for name in ("seed", "optimizer", "schedule")}
            found[trial] = about | one["hparams"] | one["point"]
    return found


def _label(cohort: str) -> str:
    """Returns the round of a cohort, such as "search-0"."""
    return "-".join(cohort.split("-")[:2])


def _are_listed(known: dict[str, Row], cohort: str, ids: np.ndarray) -> np.ndarray:
    """Returns which trials of a cohort the journal lists in its round: bool[trials]."""
    label = _label(cohort)
    found = [known.get(str(trial), {}).get("label") == label for trial in ids]
    return np.asarray(found, bool)


def own_of(store: Any, trial: str) -> Row:
    """Returns the flags of the experiment for a trial, as a sweep varied them."""
    own = dict(store.plan["settings"]["own"])
    for event in stored.events(store):
        if "round" in event and trial in event["ids"]:
            own |= event["trials"][event["ids"].index(trial)].get("own", {})
    return own


def _end(arrays: dict[str, np.ndarray], k: int, record: Row) -> Row:
    """Returns the counts of a trial at the end of a segment."""
    row = {
        "steps": record["steps"],
        "num_steps": record["num_steps"],
        "diverged_step": int(arrays["diverged_step"][k]),
        "early_step": int(arrays["early_step"][k]),
        "kept_step": int(arrays["kept_step"][k]),
        "num_gradients": int(arrays["num_gradients"][k]),
        "is_set_aside": bool(arrays["is_set_aside"][k]),
        "environment": record.get("environment", 0),
        "worker_environment": record.get("worker", 0),
    }
    end = row["diverged_step"] or row["early_step"]
    return row | ({"steps": end} if end else {})


def _add_kept(row: Row, arrays: dict[str, np.ndarray], k: int) -> None:
    """Adds the metrics of the kept parameters that a segment holds to a row."""
    at = np.flatnonzero(arrays["validation_step"] == row["kept_step"])
    for path, values in arrays.items():
        part, _, name = path.partition("/")
        if part == "final":
            row[name.replace("/", "_", 1)] = float(values[k])  # <split>_<metric>
        elif part == "validation" and at.size:
            row[f"validation_{name}"] = float(values[k, at[0]])


def _status(row: Row, ended: dict[str, int]) -> str:
    if "steps" not in row:
        return "unfinished"
    if row["is_set_aside"]:
        return "set aside"
    if row["diverged_step"]:
        return "diverged"
    if row["early_step"]:
        return "stopped early"
    if row["steps"] == row["num_steps"]:
        return "finished"
    return "stopped" if ended[row["cohort"]] > row["steps"] else "unfinished"


def last_of(store: Any, name: str) -> Any:
    """Returns the value of the last event of the journal with a field; None without."""
    found = [one[name] for one in stored.events(store) if name in one]
    return found[-1] if found else None
