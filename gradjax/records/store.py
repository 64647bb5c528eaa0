"""The folder of a run or a sweep, which stays valid if it is killed at any instant.

    plan.json             what was asked for; written first and never changed
    journal.jsonl         a copy of the plan, then a line for everything that is
                          committed, in order
    segments/<name>.npz   the results of a segment of some trials
    params/<name>.npz     the kept parameters of some trials
    states/<name>.npz     the states from which a longer run goes on
    snapshots/<name>.npz  the states of trials, from which they resume; the last two
    kept_snapshots/       those of `--keep_snapshots`, from which a replay starts

A file is committed in this order: temporary file, fsync, rename, fsync of the folder,
then its line in the journal with its fsync. A file that no line names does not count. A
file that a line names is verified by its sha256 whenever it is opened or read. If it is
damaged, it is computed again. Nothing depends on a clock or on the times of files.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradjax.errors import Refusal
from gradjax.expressions import unknown
from gradjax.files import npz_bytes, read_npz
from gradjax.records import archive, committed, faults, following, journal
from gradjax.records.committed import (
    committed_params,
    committed_segments,
    committed_states,
    is_committed,
)
from gradjax.records.durable import disk_errors, write_file
from gradjax.records.inspection import JOURNAL, environments, status, verify
from gradjax.records.opening import Store, close, create_or_open, open_to_read, remove

__all__ = [
    "Store",
    "append",
    "close",
    "commit",
    "commit_copy",
    "commit_params",
    "commit_states",
    "committed_segments",
    "committed_params",
    "committed_states",
    "create_or_open",
    "events",
    "is_committed",
    "latest_snapshot",
    "open_to_read",
    "read",
    "snapshot",
    "status",
    "verify",
]
_FILE = ("kind", "check", "name", "file", "sha256", "bytes", "digest")
_OURS = {*_FILE, "keeps", "environment", "worker"}


def events(store: Store) -> list[dict[str, Any]]:
    """Returns the events that `append` added, in order."""
    return list(store.events)


def commit(
    store: Store, name: str, arrays: Mapping[str, Any], /, **metadata: Any
) -> None:
    """Stores the arrays of a segment; they are on the disk when this returns.

    Args:
      store: open to write.
      name: of the characters A-Z a-z 0-9 . _ -.
      arrays: name -> numbers, booleans or text.
      metadata: further fields of its line in the journal; NaN becomes None.

    Raises:
        Refusal: the segment is already committed with other contents (the computation
            is not deterministic), a bad name or array, or the disk is full.
    """
    _commit(store, "segment", name, arrays, metadata)


def commit_copy(
    store: Store,
    name: str,
    arrays: Mapping[str, Any],
    of: dict[str, Any],
    /,
    **metadata: Any,
) -> None:
    """Stores what a committed file holds under another name, as `commit` does.

    Args:
      store: open to write.
      name: as `commit` takes it.
      arrays: likewise.
      of: the fields of the line of the file, whose environment is that of the copy.
      metadata: as `commit` takes it.

    Raises:
        Refusal: see `commit`.
    """
    mark = {key: of[key] for key in ("environment", "worker") if key in of}
    _commit(store, "segment", name, arrays, metadata, mark)


def commit_params(store: Store, name: str, arrays: Mapping[str, Any]) -> None:
    """Stores parameters of trials, as `commit` stores a segment.

    Raises:
        Refusal: see `commit`.
    """
    _commit(store, "params", name, arrays, {})


def commit_states(
    store: Store, name: str, arrays: Mapping[str, Any], /, kind: str, **metadata: Any
) -> None:
    """Stores states of trials, as `commit` stores a segment.

    They are "states" for a longer run, or a "kept_snapshot" for replays.

    Raises:
        Refusal: see `commit`.
    """
    _commit(store, kind, name, arrays, metadata)


def read(store: Store, name: str) -> dict[str, np.ndarray]:
    """Reads the arrays of a committed segment, or of committed parameters.

    Raises:
        Refusal: the file is not committed, or was damaged after the store was opened.
    """
    if name not in store.files:
        raise Refusal(unknown(name, store.files, "committed file"))
    record = store.files[name]
    wrong = archive.damage(store.folder, record)
    if wrong is not None:
        raise Refusal(
            f"{store.folder / record['file']}: {wrong}; open the store again to compute"
            " it again"
        )
    return read_npz(store.folder / record["file"])


def append(store: Store, record: dict[str, Any]) -> None:
    """Adds an event to the journal; it is on the disk when this returns."""
    _check_open(store)
    event = journal.plain(record, "an event")
    if not following.is_followed(store):
        with disk_errors(store.folder / JOURNAL):
            journal.append(store.journal, {"kind": "event", "event": event}, "event")
    store.events.append(event)


def snapshot(store: Store, name: str, arrays: Mapping[str, Any]) -> None:
    """Stores the arrays of a snapshot; removes all others except the one before.

    Raises:
        Refusal: see `commit`.
    """
    values, digest = _check(store, "snapshot", name, arrays)
    same = [record for record in store.snapshots if record["name"] == name]
    if any([_stays(store, record, digest) for record in same]):
        return
    others = [record for record in store.snapshots if record["name"] != name]
    before, outdated = others[-1:], [record["file"] for record in others[:-1]]
    keeps = {"digest": digest, "keeps": [record["name"] for record in before]}
    more = _mark(store) | keeps
    added = _keep(store, "snapshot", "snapshot", name, values, more)
    store.snapshots[:] = [*before, added]
    if following.is_followed(store):
        return
    with disk_errors(store.folder / "snapshots"):
        faults.reach("snapshot:before_prune")
        remove(store.folder, outdated)


def latest_snapshot(store: Store) -> tuple[str, dict[str, np.ndarray]] | None:
    """Reads name and arrays of the latest undamaged snapshot; None if there is none."""
    while store.snapshots:
        record = store.snapshots[-1]
        if record["file"] == following.NOT_WRITTEN:
            return record["name"], {}
        path = store.folder / record["file"]
        wrong = archive.damage(store.folder, record)
        if wrong is None:
            return record["name"], read_npz(path)
        store.snapshots.pop()  # otherwise the next snapshot would remove a good one
        left = [repr(before["name"]) for before in store.snapshots]
        store.say(f"{path}: {wrong}; going on from {left[-1] if left else 'none'}")
    return None


def _commit(
    store: Store,
    kind: str,
    name: str,
    arrays: Mapping[str, Any],
    metadata: dict[str, Any],
    mark: dict[str, Any] | None = None,
) -> None:
    values, digest = _check(store, kind, name, arrays)
    if clash := _OURS & metadata.keys():
        raise Refusal(f"{kind} {name!r}: metadata {sorted(clash)} are the store's own")
    if name in store.files and _stays(store, store.files[name], digest):
        return
    more = journal.plain(metadata, f"metadata of {kind} {name!r}")
    if name in store.lost and store.lost[name]["digest"] != digest:
        store.say(
            f"{kind} {name!r}, computed again, differs from the one that was damaged:"
            " another version, another device, or not deterministic"
        )
    more = {"digest": digest, **more}
    mark = _mark(store) if mark is None else mark
    committed.add(store, _keep(store, "commit", kind, name, values, mark | more))


def _check(
    store: Store, kind: str, name: str, arrays: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], str]:
    """Checks that arrays may be written; returns them on the host, and their digest."""
    _check_open(store)
    archive.check_name(name, kind)
    values = archive.to_host(arrays, f"{kind} {name!r}")
    return values, archive.digest(values)


def _check_open(store: Store) -> None:
    if store.journal is None:
        raise Refusal(f"{store.folder} is open to read; create_or_open it to write")
    if store.journal.closed:
        raise Refusal(f"{store.folder} was closed; create_or_open it again")


def _stays(store: Store, record: dict[str, Any], digest: str) -> bool:
    """Returns whether a committed file equals the arrays that were computed again.

    A file from another environment is replaced, because all later results follow from
    the new values, and a later reader must see the same values.

    Raises:
        Refusal: the file differs, although it was committed in this environment.
    """
    if record["digest"] == digest:
        return True
    path = store.folder / record["file"]
    if _mark(store) == {key: record[key] for key in ("environment",) if key in record}:
        raise Refusal(
            f"{path} is not deterministic: computed again it gave sha256"
            f" {digest[:12]}, committed was {record['digest'][:12]}; the first one"
            " stays"
        )
    store.say(f"{path}: of another environment, replaced by what this one gives")
    return False


def _mark(store: Store) -> dict[str, int]:
    """Returns the field `environment` of a file's line; empty for that of the plan."""
    count = len(environments(store.events))
    return {"environment": count} if count else {}


def _keep(
    store: Store,
    stage: str,
    kind: str,
    name: str,
    arrays: dict[str, np.ndarray],
    more: dict[str, Any],
) -> dict[str, Any]:
    """Writes a file, then its line in the journal; returns the line."""
    if following.is_followed(store):
        return following.line_of(kind, name, more)
    content = npz_bytes(arrays)
    record = {**archive.describe(kind, name, content), **more}
    path = store.folder / record["file"]
    with disk_errors(path):
        write_file(path, content, stage)
    with disk_errors(store.folder / JOURNAL):
        journal.append(store.journal, record, stage)
    return record
