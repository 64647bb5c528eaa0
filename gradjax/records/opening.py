"""Opens a store: takes the lock, repairs what a kill left, verifies."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, sync_folder
from gradjax.records import archive, faults, inspection, journal, lock
from gradjax.records.durable import open_to_append
from gradjax.records.folder import checked_path
from gradjax.records.inspection import JOURNAL
from gradjax.records.plan import PLAN, check_same, read_plan, write_plan


class Store(NamedTuple):
    """An open store; its dicts and lists follow what is committed."""

    folder: Path  # absolute: a later chdir changes nothing
    plan: dict[str, Any]
    files: dict[str, dict[str, Any]]  # name -> line of a segment or params
    lost: dict[str, dict[str, Any]]  # the same of files that were damaged
    events: list[dict[str, Any]]
    snapshots: list[dict[str, Any]]  # lines of at most two, the latest last
    say: Callable[[str], None]
    lock: lock.Lock | None  # None: open to read
    journal: Any  # the file, open to append; None: open to read


def create_or_open(
    folder: Path,
    plan: dict[str, Any],
    *,
    say: Callable[[str], None],
    accept_changes: bool = False,
    overwrite: bool = False,
) -> Store:
    """Begins a store, or goes on with the one that is there; the only writer.

    Args:
      folder: new, empty, or of the same plan; its parent is there.
      plan: anything that JSON holds.
      say: takes a line for each thing that is wrong and is mended or ignored.
      accept_changes: of the plan's `environment` (code, versions, device): they become
        an event, and what is committed from then on is marked.
      overwrite: remove the store that is there and begin a new one.

    Raises:
        Refusal: another plan or something else is there, the plan is damaged, a link is
            inside, another process writes, or the folder cannot be written.
    """
    wanted = journal.plain(plan, "the plan")
    path = _resolved(folder)
    with named_disk_errors(path):
        inspection.is_empty(path)  # refuses before a lock file is made there
        if not path.exists():
            path.mkdir()
            sync_folder(path.parent)
        held = lock.acquire(path)
        try:
            if overwrite:
                _erase(path)
            return _opened(path, wanted, held, say, accept_changes)
        except BaseException:
            lock.release(held)
            raise


def open_to_read(folder: Path, *, say: Callable[[str], None]) -> Store:
    """Opens a store without its lock, beside a writer or after it; changes nothing.

    Raises:
        Refusal: no store is there, or its plan is damaged.
    """
    path = _resolved(folder)
    if inspection.is_empty(path):
        raise Refusal(f"no run or sweep in {path}")
    plan, found = read_plan(path), inspection.inspect(path)
    for line in found.problems:
        say(line)
    return Store(path, plan, *found[:4], say, None, None)


def kind_of(folder: Path) -> str:
    """What a folder holds: "trials" of a run or a sweep, or a "lesson".

    Raises:
        Refusal: neither, an older format, or a damaged plan.
    """
    path = _resolved(folder)
    if inspection.is_empty(path):
        raise Refusal(f"no run or sweep in {path}")
    return read_plan(path)["kind"]


def close(store: Store) -> None:
    """Closes the journal and gives the lock back; a second time does nothing."""
    if store.lock is not None:
        store.journal.close()
        lock.release(store.lock)


def _resolved(folder: Path) -> Path:
    """The folder itself, where `folder` is a link to it."""
    try:
        return checked_path(str(folder)).resolve()
    except (OSError, RuntimeError) as error:
        raise Refusal(f"{str(folder)[:60]!r}: not a folder: {error}"[:300]) from error


def _opened(
    path: Path,
    wanted: dict[str, Any],
    held: lock.Lock,
    say: Callable[[str], None],
    accept_changes: bool,
) -> Store:
    """With the lock held: plan, folders, then the journal, its torn tail cut."""
    if inspection.is_empty(path):
        faults.reached("open:before_plan")
        write_plan(path, wanted)
        faults.reached("open:after_plan")
    plan, accepted = read_plan(path), inspection.accepted(path)
    is_new = check_same(path, plan, accepted, wanted, accept_changes)
    for name in archive.FOLDERS.values():
        (path / name).mkdir(exist_ok=True)
    file = open_to_append(path / JOURNAL)
    try:
        found = inspection.inspect(path)
        for line in found.problems:
            say(line)
        if found.end < found.num_bytes:
            faults.reached("open:before_cut")
            file.truncate(found.end)
        faults.reached("open:after_cut")
        remove(path, [*inspection.leftovers(path), *found.outdated])
        os.fsync(file.fileno())
        sync_folder(path)
        store = Store(path, plan, *found[:4], say, held, file)
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


def _erase(folder: Path) -> None:
    """Removes every file of a store; the plan last, so that a kill leaves a store."""
    if inspection.is_empty(folder):
        return
    for name in (*inspection.REPORT, *inspection.LESSON):
        (folder / name).unlink(missing_ok=True)
    for inside in archive.FOLDERS.values():
        for entry in (folder / inside).glob("*"):
            entry.unlink()
    for name in (JOURNAL, PLAN):
        (folder / name).unlink(missing_ok=True)
    sync_folder(folder)


def remove(folder: Path, names: list[str]) -> None:
    """Removes files of the store that may be gone already."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
