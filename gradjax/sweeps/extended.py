"""Extends a finished run to more steps: it goes on from the end of its trunk.

The longer run has the bits of a run that was as long from the start, because only the
blocks of the trunk are taken over (`training.trunk`). Its trials have ids of their own,
a copy of these blocks as their first segment, and the states after them as a snapshot.
"""

from typing import Any

import numpy as np

from gradjax.errors import Refusal
from gradjax.files import named_disk_errors
from gradjax.records import extension, journal, reading
from gradjax.records import store as stored
from gradjax.sweeps import execute, points
from gradjax.sweeps.points import Trial
from gradjax.trials import batches
from gradjax.trials import results as results_of
from gradjax.trials.lanes import Lanes
from gradjax.types import Settings


def begin(store: Any, plan: dict[str, Any]) -> Any:
    """Extends the plan of a store; returns the store with the longer plan.

    Args:
      store: open to write, with the plan of the shorter run.
      plan: of the longer run.

    Raises:
        Refusal: the shorter run has not finished, or its states are not stored.
    """
    fix = f"--init_from={store.folder} with another --workdir starts at its parameters"
    rows = reading.rows(store)
    if not rows or any(row["status"] == "unfinished" for row in rows.values()):
        raise Refusal(
            f"{store.folder} has not finished its steps: the command with which it was"
            " begun ends it, and then a larger number goes on"
        )
    there = [
        stored.read(store, name)["trial"] for name in stored.committed_states(store)
    ]
    known = set(np.concatenate(there).tolist()) if there else set()
    going = [
        id
        for id, row in rows.items()
        if row["status"] == "finished" and row["round"] != "fresh"
    ]
    if not set(going) <= known:
        raise Refusal(
            f"{store.folder} does not hold the states from which its trials could go on"
            " (--keep_params=none, a sweep without --keep_params=all, damage, or an"
            f" older version of gradjax); {fix}"
        )
    with named_disk_errors(store.folder):  # it is not finished any more
        (store.folder / "summary.json").unlink(missing_ok=True)
    longer = journal.plain(plan, "the plan")
    stored.append(store, extension.event(store.plan, longer))
    return store._replace(plan=extension.extended(store.plan, store.events))


def continuing(
    base: Settings, store: Any, rounds: list[dict[str, Any]]
) -> list[tuple[str, list[Trial]]]:
    """Returns (round, trials that continue its trials) for each round that goes on.

    A round is of any shorter length, as an extension may have been stopped before its
    trials were listed. Fresh seeds do not go on, because other settings may be the best
    ones now.

    Args:
      base: the settings of the longer run.
      store: open to write.
      rounds: the events of the rounds so far.
    """
    events, found = stored.events(store), []
    done = extension.continued(events)
    befores = [base._replace(**one["from"]) for one in extension.every(events)]
    for event in rounds:
        pairs = [(one["point"], one["seed"]) for one in event["trials"]]
        shorter = (
            [points.trial(before, *pair).id for pair in pairs] for before in befores
        )
        label = extension.label(event)
        if label not in done and event["ids"] in shorter:
            found.append((label, [points.trial(base, *pair) for pair in pairs]))
    return found


def goes_on(store: Any, event: dict[str, Any]) -> bool:
    """Returns whether a round continues another one, and no other continues it.

    All seeds of a record go on together, whatever number a command asks for.
    """
    done = extension.continued(stored.events(store))
    return "continues" in event and extension.label(event) not in done


def adopt(
    store: Any, prefix: str, lanes: Lanes, cohort: list[Trial], event: dict[str, Any]
) -> None:
    """Gives a cohort the trunk of the shorter run, unless it has it already.

    If the record has lost a part of the shorter run, a line says so, and the cohort is
    trained from its first step.

    Args:
      store: open to write.
      prefix: the start of the names of the cohort's segments.
      lanes: the program of the longer run.
      cohort: its trials.
      event: lists the trials of its round, which continues another one.
    """
    name = f"{prefix}-{0:06d}"
    if name in stored.committed_segments(store):
        return
    before = _before(store, event, [one.id for one in cohort])
    if before is None:
        _say_lost(store, f"the list of the trials of {event['continues']} is lost")
        return
    found = _states_of(store, before)
    if found is None:
        return
    old, num_blocks, states = found
    active = batches.start(
        lanes,
        [one.numbers for one in cohort],
        [one.seed for one in cohort],
        cohort[0].settings.trace_every,
    )
    end, run_s = 0, 0.0
    for segment, record in sorted(stored.committed_segments(store).items()):
        first, count = record["interval"]
        if segment.rpartition("-")[0] == old and first == end < num_blocks:
            arrays = stored.read(store, segment)
            results_of.from_arrays(active.results, (first, count), arrays)
            end, run_s = first + count, run_s + record["run_s"]
    if end != num_blocks:
        _say_lost(store, f"segments of {event['continues']} are damaged")
        return
    has_ended = results_of.has_ended(active.results)
    for means in active.results.final.values():
        for values in means.values():
            values[~has_ended] = np.nan  # evaluated at the end of the shorter run
    # The snapshot is first: a segment without it could not be continued.
    stored.snapshot(store, name, states)
    segment = execute.Segment(active.rows, (0, num_blocks), run_s, event["hash"])
    new = [one.id for one in cohort]
    execute.commit_segment(store, name, new, active.results, segment)


def _say_lost(store: Any, what: str) -> None:
    store.say(f"{store.folder}: {what}; its trials are trained again from the start")


def _before(store: Any, event: dict[str, Any], ids: list[str]) -> list[str] | None:
    """Returns the ids of the trials that these trials continue; None if they are lost.

    They are in the journal line of the round that the round of `event` continues.
    """
    for old in stored.events(store):
        if "round" in old and extension.label(old) == event["continues"]:
            before = dict(zip(event["ids"], old["ids"], strict=True))
            return [before[id] for id in ids]
    return None


def _states_of(store: Any, ids: list[str]) -> tuple[str, int, dict[str, Any]] | None:
    """Returns (cohort, blocks, states) of the cohort of these trials."""
    for name, record in stored.committed_states(store).items():
        arrays = stored.read(store, name)
        if arrays.pop("trial").tolist() == ids:
            return name.removesuffix("-states"), record["blocks"], arrays
    return None
