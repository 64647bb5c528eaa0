"""What a record holds so far: how far its trials are, how long yet, what was best."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.records import opening, reading
from gradjax.records import store as stored
from gradjax.report.terminal import duration, number

_ENDED = ("finished", "diverged", "stopped early", "stopped", "set aside")
_LOSS = ("loss", -1.0)  # ranks the trials of records that do not name a curve


class Best(NamedTuple):
    """The best last value of the curve that ranks the trials."""

    trial: str  # its id
    curve: str
    value: float
    step: int


def rows(folder: Path, say: Callable[[str], None]) -> list[tuple[str, str]]:
    """Returns (name, value) of each line of the status of a record.

    The trials are those that the journal lists so far: fresh seeds are listed when the
    search has ended. The time that is left is estimated from the recorded time of a
    step.

    Args:
      folder: the folder of a run, a sweep or a lesson, which may be written now.
      say: is called with a line for each thing that is damaged.

    Raises:
        Refusal: there is no record, or its plan is damaged.
    """
    is_trials = opening.kind_of(folder) == "trials"
    found = stored.status(folder, say=None if is_trials else say)
    listed = []
    if is_trials:
        store = opening.open_to_read(folder, say=say)
        trials = reading.rows(store)
        listed = rows_of_trials(store, trials, best_of(store, trials))
    return [*_experiment(found), *listed, *rows_of_folder(found)]


def rows_of_trials(
    store: Any, trials: dict[str, dict[str, Any]], best: Best | None
) -> list[tuple[str, str]]:
    """Returns (name, value) of each line about the trials of a record.

    Args:
      store: open to read.
      trials: what `reading.rows` returns of it.
      best: what `best_of` returns of both.
    """
    listed = list(trials.values())
    return [
        ("trials", _how_far(listed)),
        ("time", _how_long(store, listed)),
        ("best so far", _best_words(store, trials, best)),
    ]


def share_of(store: Any, trials: dict[str, dict[str, Any]]) -> float:
    """Returns the share of the steps of all listed trials that is done, in [0, 1]."""
    records = reading.segment_records(store).values()
    total = max((one["num_steps"] for one in records), default=0)
    if not total or not trials:
        return 0.0
    done = [
        total if one["status"] in _ENDED else min(one.get("steps") or 0, total)
        for one in trials.values()
    ]
    return sum(done) / (total * len(done))


def _experiment(found: dict[str, Any]) -> list[tuple[str, str]]:
    settings = found["plan"].get("settings", {})
    return [("experiment", str(settings.get("experiment", "unknown")))]


def rows_of_folder(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns (name, value) of what `store.status` says of a folder."""
    owner = found["owner"]
    by = f"process {owner['pid']} on {owner['host']}" if owner else "no process"
    listed = [
        ("written by", by),
        ("segments", f"{found['num_segments']:,}"),
        ("size", f"{found['num_bytes'] / 1e6:,.1f} MB"),
    ]
    for name in ("environments", "damaged"):
        if count := found[f"num_{name}"]:
            words = {"environments": "changes accepted", "damaged": "damaged lines"}
            listed.append((words[name], f"{count:,}"))
    return listed


def _how_far(trials: list[dict[str, Any]]) -> str:
    """Returns how many trials of each round have ended."""
    said = []
    for name in dict.fromkeys(one["round"] for one in trials):
        own = [one for one in trials if one["round"] == name]
        ended = sum(one["status"] in _ENDED for one in own)
        what = "fresh seeds" if name == "fresh" else name
        said.append(f"{ended:,} of {len(own):,} of the {what} have ended")
    return "; ".join(said) or "none is listed yet"


def _how_long(store: Any, trials: list[dict[str, Any]]) -> str:
    """Returns the recorded time, and the estimate of what is left."""
    records = reading.segment_records(store).values()
    spent = sum(one["run_s"] for one in records)
    taken = sum(one.get("steps") or 0 for one in trials)
    total = max((one["num_steps"] for one in records), default=0)
    waiting = [one for one in trials if one["status"] not in _ENDED]
    left = sum(max(total - (one.get("steps") or 0), 0) for one in waiting)
    if not taken:
        return "no segment is stored yet"
    if not left:
        return f"{duration(spent)}; all of these trials have ended"
    return f"{duration(spent)} so far, about {duration(spent / taken * left)} left"


def best_of(store: Any, trials: dict[str, dict[str, Any]]) -> Best | None:
    """Returns the best last value of all trials that have not diverged, if any.

    The curve and its sign are those of `choose.ranking_curve`.

    Args:
      store: open to read.
      trials: what `reading.rows` returns of it.
    """
    segments = stored.committed_segments(store).values()
    named = [one["ranked_by"] for one in segments if "ranked_by" in one]
    ranking, sign = named[0] if named else _LOSS
    lasts: dict[str, tuple[float, int]] = {}
    for ids, name, steps, values in reading.curves(store):
        if name == ranking:
            for trial, step, value in zip(ids, steps, values, strict=True):
                if str(trial) not in lasts or step >= lasts[str(trial)][1]:
                    lasts[str(trial)] = (float(value), int(step))
    sound = {
        trial: last
        for trial, last in lasts.items()
        if np.isfinite(last[0]) and trials[trial]["status"] != "diverged"
    }
    if not sound:
        return None
    best = max(sound, key=lambda trial: sign * sound[trial][0])
    return Best(best, ranking, *sound[best])


def _best_words(
    store: Any, trials: dict[str, dict[str, Any]], best: Best | None
) -> str:
    if best is None:
        return "no trial has a value yet"
    at = setting_of(store, best.trial, trials[best.trial])
    value = f"{number(best.value)} at step {best.step:,}"
    return f"{best.curve.replace('_', ' ')} {value}: {at}"


def setting_of(store: Any, trial: str, row: dict[str, Any]) -> str:
    """Returns the optimizer and the point of a trial."""
    for event in stored.events(store):
        if trial in event.get("ids", ()):
            point = event["trials"][event["ids"].index(trial)]["point"]
            own = {name: one for name, one in point.items() if name != "optimizer"}
            parts = [
                f"{name} {one:.4g}" if isinstance(one, float) else f"{name} {one}"
                for name, one in own.items()
            ]
            return ", ".join([row["optimizer"], *parts, f"seed {row['seed']}"])
    return row["optimizer"]
