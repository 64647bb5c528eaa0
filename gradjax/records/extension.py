"""Extensions of a run to more steps: events of the journal, as the plan never changes.

    {"extended": {"from": {"steps": 100, ...}, "to": {"steps": 200, ...}}}
    {"round": "run", "number": 1, "continues": "run-0", ...}

The first event says that the plan now has the settings `to`. The second one lists the
trials of the longer run. Their first blocks are those of the trials of another round,
which are no longer listed. Rounds of fresh seeds before an extension are not listed
either, because other settings may be the best ones now.
"""

from pathlib import Path
from typing import Any

from gradjax.records import inspection, journal
from gradjax.records.plan import read_plan

NAMES = ("steps", "epochs", "eval_every", "trace_every")  # settings that may change


def label(event: dict[str, Any]) -> str:
    """Returns the name of a round with its number, such as "search-0"."""
    return f"{event['round']}-{event['number']}"


def event(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Returns the event of an extension, from the plans before and after it."""
    parts = {"from": before["settings"], "to": after["settings"]}
    return {
        "extended": {
            name: {key: settings[key] for key in NAMES}
            for name, settings in parts.items()
        }
    }


def every(events: list[dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    """Returns the settings "from" and "to" of each extension, in order."""
    return [one["extended"] for one in events if "extended" in one]


def last(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]] | None:
    """Returns the settings "from" and "to" of the last extension, if there is one."""
    return next(reversed(every(events)), None)


def last_of(folder: Path) -> dict[str, dict[str, Any]] | None:
    """Returns the last extension of a store that is not open."""
    return last(events_of(folder))


def extended(plan: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the plan with the settings of the last extension."""
    found = last(events)
    if found is None:
        return plan
    return plan | {"settings": plan["settings"] | found["to"]}


def current_plan(folder: Path) -> dict[str, Any]:
    """Reads the plan of a store that is not open, with its extension."""
    return extended(read_plan(folder), events_of(folder))


def continued(events: list[dict[str, Any]]) -> set[str]:
    """Returns the rounds, such as "run-0", of shorter trials, which are not listed.

    A longer run has their trials in its own, or they are fresh seeds.
    """
    places = [k for k, one in enumerate(events) if "extended" in one]
    shorter = events[: places[-1]] if places else []
    fresh = [one["number"] for one in shorter if one.get("round") == "fresh"]
    continues = {one["continues"] for one in events if "continues" in one}
    return continues | {f"fresh-{number}" for number in fresh}


def events_of(folder: Path) -> list[dict[str, Any]]:
    """Returns the events of a store that is not open."""
    records = journal.read(folder / journal.FILE).records
    return inspection.sorted_by_kind(records)["event"]
