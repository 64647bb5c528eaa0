"""Files of a store that workers have written, and how they are committed.

A worker writes a file completely, under a name that does not count, in the folder of
its kind. The driver, which alone writes the journal, renames it and appends its line.
Where worker and driver share no file system, the answer of the worker has the content.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gradjax.errors import Refusal
from gradjax.files import npz_bytes, sync_folder
from gradjax.records import archive, committed, faults, journal
from gradjax.records.durable import PARTIAL, disk_errors, write_all, write_file
from gradjax.records.inspection import JOURNAL, environments


class File(NamedTuple):
    """A file of a store that is not committed yet."""

    record: dict[str, Any]  # its line of the journal
    staged: str | None  # its name inside the folder of its kind; None: see `content`
    content: bytes | None  # of the file; None: it is in the folder


def staged(
    folder: Path | None,
    kind: str,
    name: str,
    arrays: Mapping[str, Any],
    /,
    **metadata: Any,
) -> File:
    """Writes a file for the store of another process.

    Args:
      folder: of the store; None: this machine does not have it.
      kind: of the file, such as "segment".
      name: see `store.commit`.
      arrays: likewise.
      metadata: likewise.

    Raises:
        Refusal: a bad name or array, or the disk is full.
    """
    archive.check_name(name, kind)
    values = archive.to_host(arrays, f"{kind} {name!r}")
    content = npz_bytes(values)
    about = journal.plain(metadata, f"metadata of {kind} {name!r}")
    line = archive.describe(kind, name, content)
    line |= {"digest": archive.digest(values), **about}
    if folder is None:
        return File(line, None, content)
    place = f".{name}.{socket.gethostname()}-{os.getpid()}.npz{PARTIAL}"
    path = folder / archive.FOLDERS[kind] / place
    with disk_errors(path), open(path, "wb", buffering=0) as file:
        write_all(file, content)
        os.fsync(file.fileno())
    return File(line, place, None)


class Batch(NamedTuple):
    """The files of one batch."""

    files: list[File]  # the one that says that the batch has ended last
    mark: Mapping[str, Any]  # more fields of their lines


def commit(store: Any, batches: list[Batch]) -> list[bool]:
    """Commits batches together; the first commit of a batch wins.

    All files have their names before the first line is written, and the lines are
    written together. So any number of files costs one fsync of each folder and one of
    the journal.

    Args:
      store: open to write.
      batches: in the order in which they ended.

    Returns:
      For each, False if the batch was committed before; then its files are removed, and
      equal those that stay.

    Raises:
        Refusal: a batch was committed before with other contents, or the disk is full.
    """
    is_new, names = [], set[str]()
    for files, _ in batches:
        name = files[-1].record["name"]
        is_new.append(name not in names and name not in store.files)
        names.add(name)
    new = [one for one, is_first in zip(batches, is_new, strict=True) if is_first]
    _commit(store, new)
    for (files, _), is_first in zip(batches, is_new, strict=True):
        if not is_first:
            discard(store, files)
            _check_same(store, files)
    return is_new


def _commit(store: Any, batches: list[Batch]) -> None:
    """Commits batches that are not committed yet."""
    count = len(environments(store.events))
    changes = {"environment": count} if count else {}  # see `store.commit`
    folders, lines = [], []
    for files, mark in batches:
        folders += [_put(store.folder, one) for one in files]
        lines += [{**one.record, **changes, **mark} for one in files]
    for folder in dict.fromkeys(folders):
        with disk_errors(folder):
            sync_folder(folder)
    if lines:
        with disk_errors(store.folder / JOURNAL):
            journal.append(store.journal, lines, "commit")
    for line in lines:
        committed.add(store, line)


def _put(folder: Path, file: File) -> Path:
    """Gives a file its name; returns the folder inside, which must be synced."""
    path = folder / file.record["file"]
    inside = path.parent
    with disk_errors(path):
        if file.content is not None:
            write_file(path, file.content, "commit")
        else:
            os.replace(f"{inside}/{file.staged}", path)
            faults.reach("commit:after_rename")
    return inside


def discard(store: Any, files: list[File]) -> None:
    """Removes files that are not committed."""
    for one in files:
        if one.staged is not None:
            path = store.folder / one.record["file"]
            path.with_name(one.staged).unlink(missing_ok=True)


def _check_same(store: Any, files: list[File]) -> None:
    """Compares the digests of a batch that two workers have computed.

    Those of two environments may differ, and then their lines have a mark.
    """
    for one in files:
        known = store.files.get(one.record["name"])
        if known is None or "worker" in known or "worker" in one.record:
            continue
        if known["digest"] != one.record["digest"]:
            raise Refusal(
                f"{store.folder / known['file']} is not deterministic: two workers"
                f" computed it, with sha256 {known['digest'][:12]} and"
                f" {one.record['digest'][:12]}; the first one stays"
            )
