"""The store as the other processes of a run see it, of which one alone writes.

Such a process has read the same folder, and computes the same. It commits nothing, and
only remembers what the first process commits.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gradjax.records import inspection
from gradjax.records.opening import Store, open_to_read
from gradjax.records.plan import check_same

NOT_WRITTEN = ""  # the file of what the other process commits


class _Nowhere(NamedTuple):
    """Stands for the journal, to which nothing is written."""

    closed: bool = False


def open_to_follow(
    folder: Path, plan: dict[str, Any], say: Callable[[str], None]
) -> Store:
    """Opens a store that another process has created or opened to write.

    Args:
      folder: of the record, on a disk that the processes share.
      plan: what this process was asked for.
      say: as `create_or_open` takes it.

    Raises:
        Refusal: there is no store, or it has another plan.
    """
    store = open_to_read(folder, say=say)
    accepted = inspection.accepted_environments(store.folder)
    check_same(store.folder, store.plan, accepted, plan, accept_changes=False)
    return store._replace(journal=_Nowhere())


def is_followed(store: Store) -> bool:
    """Returns whether another process writes what this one commits."""
    return isinstance(store.journal, _Nowhere)


def line_of(kind: str, name: str, more: dict[str, Any]) -> dict[str, Any]:
    """Returns what is remembered of a file that the other process commits."""
    return {"kind": kind, "name": name, "file": NOT_WRITTEN, **more}
