"""Opens a store: takes the lock, repairs the folder after a kill, verifies files."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, sync_folder
from gradjax.records import (
    archive,
    committed,
    extension,
    faults,
    inspection,
    journal,
    lock,
)
from gradjax.records.durable import open_to_append
from gradjax.records.folder import checked_path
from gradjax.records.inspection import JOURNAL
from gradjax.records.plan import (
    PLAN,
    check_same,
    is_intact,
    line_of,
    read_plan,
    write_plan,
)


class Store(NamedTuple):
    """An open store; its dicts and lists are updated at each commit."""

    folder: Path  # absolute, so a later chdir has no effect
    plan: dict[str, Any]
    files: dict[str, dict[str, Any]]  # name -> line of a segment or params
    lost: dict[str, dict[str, Any]]  # the same of files that were damaged
    events: list[dict[str, Any]]
    snapshots: list[dict[str, Any]]  # lines of at most two, the latest last
    say: Callable[[str], None]
    lock: lock.Lock | None  # None: open to read
    journal: Any  # the file, open to append; None: open to read
    cohorts: dict[str, list[str]]  # cohort -> its segments, see `records.committed`


def create_or_open(
    folder: Path,
    plan: dict[str, Any],
    *,
    say: Callable[[str], None],
    accept_changes: bool = False,
    overwrite: bool = False,
) -> Store:
    """Creates a store, or opens an existing one, as its only writer.

    Args:
      folder: new, empty, or with the same plan; its parent must exist.
      plan: anything that JSON can represent.
      say: is called with a line for each thing that is repaired or ignored.
      accept_changes: accept a change of the plan's `environment` (code, versions,
        device); it becomes an event, and all later commits are marked.
      overwrite: remove the existing store and begin a new one.

    Raises:
        Refusal: the folder has another plan or other content, the plan is damaged, the
            folder has links, another process writes, or the folder is not writable.
    """
    wanted = journal.plain(plan, "the plan")
    path = _resolve(folder)
    with named_disk_errors(path):
        inspection.is_empty(path)  # refuses before a lock file is made in the folder
        if not path.exists():
            path.mkdir()
            sync_folder(path.parent)
        held = lock.acquire(path)
        try:
            if overwrite:
                erase(path)
            return _open_locked(path, wanted, held, say, accept_changes)
        except BaseException:
            lock.release(held)
            raise


def open_to_read(folder: Path, *, say: Callable[[str], None]) -> Store:
    """Opens a store without its lock, also while it is written; changes nothing.

    Raises:
        Refusal: there is no store, or its plan is damaged.
    """
    path = _resolve(folder)
    if inspection.is_empty(path):
        raise Refusal(f"no run or sweep in {path}")
    plan, found = read_plan(path, say), inspection.inspect(path)
    for line in found.problems:
        say(line)
    plan = extension.extended(plan, found.events)
    cohorts = committed.by_cohort(found.files)
    return Store(path, plan, *found[:4], say, None, None, cohorts)


def kind_of(folder: Path) -> str:
    """Returns what a folder holds: "trials" of a run or a sweep, or a "lesson".

    Raises:
        Refusal: it holds neither, or an older format, or its plan is damaged.
    """
    path = _resolve(folder)
    if inspection.is_empty(path):
        raise Refusal(f"no run or sweep in {path}")
    return read_plan(path)["kind"]


def close(store: Store) -> None:
    """Closes the journal and releases the lock; a second call does nothing."""
    if store.lock is not None:
        store.journal.close()
        lock.release(store.lock)


def _resolve(folder: Path) -> Path:
    """Returns the folder itself, also if `folder` is a link to it."""
    try:
        return checked_path(str(folder)).resolve()
    except (OSError, RuntimeError) as error:
        raise Refusal(f"{str(folder)[:60]!r}: not a folder: {error}"[:300]) from error


def _open_locked(
    path: Path,
    wanted: dict[str, Any],
    held: lock.Lock,
    say: Callable[[str], None],
    accept_changes: bool,
) -> Store:
    """Opens a store whose lock is held: plan, folders, journal without a torn line.

    The plan is repaired from its copy in the journal, and the copy from the plan, after
    it is known that the command may write in this folder.
    """
    if inspection.is_empty(path):
        faults.reach("open:before_plan")
        write_plan(path, wanted)
        faults.reach("open:after_plan")
    plan, accepted = read_plan(path, say), inspection.accepted_environments(path)
    now = extension.extended(plan, extension.events_of(path))
    is_new = check_same(path, now, accepted, wanted, accept_changes)
    for name in archive.FOLDERS.values():
        (path / name).mkdir(exist_ok=True)
    file = open_to_append(path / JOURNAL)
    try:
        found = inspection.inspect(path)
        for line in found.problems:
            say(line)
        if found.end < found.num_bytes:
            faults.reach("open:before_cut")
            file.truncate(found.end)
        faults.reach("open:after_cut")
        remove(path, [*inspection.leftovers(path), *found.outdated])
        os.fsync(file.fileno())
        sync_folder(path)
        if not is_intact(path):
            write_plan(path, plan)
        if not found.has_plan:
            journal.append(file, line_of(plan), "plan")
        cohorts = committed.by_cohort(found.files)
        store = Store(path, now, *found[:4], say, held, file, cohorts)
        if is_new:
            _accept(store, wanted["environment"])
    except BaseException:
        file.close()
        raise
    return store


def _accept(store: Store, environment: dict[str, Any]) -> None:
    event = {"environment": environment}
    journal.append(store.journal, {"kind": "event", "event": event}, "event")
    store.events.append(event)
    count = len(inspection.environments(store.events))
    store.say(
        f"{store.folder}: another environment than before is accepted; what is"
        f" computed from here on is marked environment={count}"
    )


def erase(folder: Path) -> None:
    """Removes every file of a store, the plan last, so that a kill leaves a store."""
    if inspection.is_empty(folder):
        return
    for name in (*inspection.REPORT, *inspection.LESSON):
        (folder / name).unlink(missing_ok=True)
    for inside in archive.FOLDERS.values():
        for entry in (folder / inside).glob("*"):
            entry.unlink()
        if (folder / inside).is_dir():
            (folder / inside).rmdir()
    for name in (JOURNAL, PLAN):
        (folder / name).unlink(missing_ok=True)
    sync_folder(folder)


def remove(folder: Path, names: list[str]) -> None:
    """Removes files of the store, some of which may not exist any more."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
