"""Extends a finished run to more steps: it goes on from the end of its trunk.

The longer run has the bits of a run that was as long from the start, because only the
blocks of the trunk are taken over (`training.trunk`). Its trials have ids of their own,
a copy of these blocks as their first segment, and the states after them as a snapshot.
"""

from collections.abc import Callable
from typing import Any

from gradjax.errors import Refusal
from gradjax.files import named_disk_errors
from gradjax.records import extension, journal, reading
from gradjax.records import store as stored
from gradjax.sweeps import execute, points, shared
from gradjax.sweeps.longer import Longer
from gradjax.sweeps.points import Trial
from gradjax.trials.lanes import Lanes
from gradjax.types import Settings


def begin(
    store: Any, plan: dict[str, Any], longer: Longer, say: Callable[[str], None]
) -> Any:
    """Extends the plan of a store; returns the store with the longer plan.

    If the journal has lost the line of this extension, only the line is restored.

    Args:
      store: open to write, with the plan of the shorter run.
      plan: of the longer run.
      longer: the settings of the longer run.
      say: is called with the line that says where the longer run begins.

    Raises:
        Refusal: the shorter run has not finished, or its states are not stored.
    """
    if not _was_begun(store, longer.settings):
        steps = _steps_from(store)
        if steps:
            to = f"to step {longer.num_steps:,}, with evaluations as before"
            say(f"goes on from step {steps:,} {to}")
    with named_disk_errors(store.folder):  # it is not finished any more
        (store.folder / "summary.json").unlink(missing_ok=True)
    stored.append(store, extension.event(store.plan, journal.plain(plan, "the plan")))
    return store._replace(plan=extension.extended(store.plan, store.events))


def _was_begun(store: Any, settings: Settings) -> bool:
    """Returns whether the journal lists the trials of this longer run already."""
    listed = [one for one in stored.events(store) if "continues" in one]
    return any(one["ids"] == _ids(settings, one) for one in listed)


def _ids(settings: Settings, event: dict[str, Any]) -> list[str]:
    """Returns the ids that the trials of a round have with these settings."""
    pairs = [(one["point"], one["seed"]) for one in event["trials"]]
    return [points.trial(settings, *pair).id for pair in pairs]


def _steps_from(store: Any) -> int:
    """Returns the step from which the trials of a store can all go on.

    Raises:
        Refusal: a trial has not finished, or its states are not stored.
    """
    fix = f"--init_from={store.folder} with another --workdir starts at its parameters"
    rows = reading.rows(store)
    if not rows or any(row["status"] == "unfinished" for row in rows.values()):
        raise Refusal(
            f"{store.folder} has not finished its steps: the command with which it was"
            " begun ends it, and then a larger number goes on"
        )
    there = {
        name: shared.trials_of(store, name) for name in stored.committed_states(store)
    }
    going = {
        id
        for id, row in rows.items()
        if row["status"] == "finished" and row["round"] != "fresh"
    }
    if not going <= {id for ids in there.values() for id in ids}:
        raise Refusal(
            f"{store.folder} does not hold the states from which its trials could go on"
            " (--keep_params=none, a sweep without --keep_params=all, damage, or an"
            f" older version of gradjax); {fix}"
        )
    begun = [_end_of(store, name) for name, ids in there.items() if going & {*ids}]
    return min(begun, default=0)


def _end_of(store: Any, name: str) -> int:
    """Returns the step of committed states; 0 if the segments before them are lost."""
    cohort = name.removesuffix("-states")
    blocks = stored.committed_states(store)[name]["blocks"]
    return next(
        (
            record["steps"]
            for record in stored.committed_segments(store, cohort).values()
            if sum(record["interval"]) == blocks
        ),
        0,
    )


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
        shorter = (_ids(before, event) for before in befores)
        label = extension.label(event)
        if label not in done and event["ids"] in shorter:
            found.append((label, [points.trial(base, *pair) for pair in pairs]))
    return found


def goes_on(base: Settings, store: Any, event: dict[str, Any]) -> bool:
    """Returns whether a round continues another one, and no other continues it.

    All seeds of a record go on together, whatever number a command asks for.

    Raises:
        Refusal: the trials of the round are longer than those of `base`.
    """
    done = extension.continued(stored.events(store))
    if "continues" not in event or extension.label(event) in done:
        return False
    if event["ids"] != _ids(base, event):
        raise Refusal(
            f"{store.folder}: the journal has lost the line that made its trials"
            " longer: the command with the larger number of steps restores it"
        )
    return True


def adopt(
    store: Any, prefix: str, lanes: Lanes, cohort: list[Trial], event: dict[str, Any]
) -> None:
    """Gives a cohort the trunk of the shorter run, unless it can go on already.

    If the record has lost a part of the shorter run, a line says so, and the cohort is
    trained from its first step.

    Args:
      store: open to write.
      prefix: the start of the names of the cohort's segments.
      lanes: the program of the longer run.
      cohort: its trials.
      event: lists the trials of its round, which continues another one.

    Raises:
        Refusal: the cohort has the trunk, and all states after it are lost.
    """
    name = f"{prefix}-{0:06d}"
    there = stored.committed_segments(store, prefix).get(name)
    if there is not None:
        is_trained = not there.get("is_copy", False)
        if not is_trained and not execute.can_go_on(store, prefix):
            _restore(store, name, [one.id for one in cohort], event)
        return
    before = _before(store, event, [one.id for one in cohort])
    if before is None:
        _say_lost(store, f"the list of the trials of {event['continues']} is lost")
        return
    states = shared.states_of(store, before)
    if states is None:
        return
    found = shared.trunk_of(store, *states)
    if found is None:
        _say_lost(store, f"segments of {event['continues']} are damaged")
        return
    if not shared.take_over(store, name, lanes, cohort, event, found):
        _say_lost(store, f"segments of {event['continues']} are of other blocks")


def _restore(store: Any, name: str, ids: list[str], event: dict[str, Any]) -> None:
    """Stores the states after the trunk again, as a snapshot of the longer cohort."""
    before = _before(store, event, ids)
    found = None if before is None else shared.states_of(store, before)
    if found is None:
        raise Refusal(
            f"{store.folder}: the snapshots of {name.rpartition('-')[0]} are lost, and"
            f" so are the states of {event['continues']} with which it began;"
            " --overwrite trains again from the start"
        )
    stored.snapshot(store, name, found[1])


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
