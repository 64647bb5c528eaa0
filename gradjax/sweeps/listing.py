"""The events of the journal that list the trials of a round."""

from typing import Any

from gradjax.records import store as stored
from gradjax.sweeps import points


def rounds(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Returns the rounds of a name in the journal, in order."""
    return [event for event in events if event.get("round") == name]


def numbered(store: Any, name: str, listed: dict[str, Any]) -> dict[str, Any]:
    """Returns the event of a new round, with a number that no other round has.

    If the journal has lost the line of an earlier round, the files of this round remain
    in the folder. The number of these files is used again if they are of the same list
    of trials, which their digest says.
    """
    of_files: dict[int, set[str]] = {}  # number -> digests of lists of trials
    for file, record in {**store.lost, **store.files}.items():
        of, number, _ = file.split("-", 2)
        if of == name:
            of_files.setdefault(int(number), set()).add(record.get("round", ""))
    taken = {one["number"] for one in rounds(stored.events(store), name)}
    following = max({*taken, *of_files}, default=-1) + 1
    for number in sorted({*of_files} - taken):
        event = _event(name, number, listed)
        if event["hash"] in of_files[number]:
            return event
    return _event(name, following, listed)


def _event(name: str, number: int, listed: dict[str, Any]) -> dict[str, Any]:
    event = {"round": name, "number": number, **listed}
    return event | {"hash": points.digest(event)}
