"""Reads and verifies the folder of a store; changes nothing."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gradjax.errors import Refusal
from gradjax.records import archive, journal, lock
from gradjax.records.durable import PARTIAL
from gradjax.records.plan import PLAN, is_copy, read_plan

JOURNAL = journal.FILE
_PICTURES = ("sensitivity.png", "curves.png", "dashboard.png")
REPORT = ("summary.json", *_PICTURES, "tokenizer.json", "catalogue.json")
LESSON = ("trace.npz", "picture.png", "animation.gif", "summary.json")
_FILES = (PLAN, JOURNAL, lock.LOCK, lock.LEASE, *REPORT)
_OLD = "config.json"  # a run had this file before format 2
_AFTER = {"kept_snapshot": "a replay starts before it"}  # damage
_LISTED = 20  # lines of one kind that are listed; the others are only counted


class Found(NamedTuple):
    """The content of the journal, with the files verified."""

    files: dict[str, dict[str, Any]]  # name -> its record: segments and parameters
    lost: dict[str, dict[str, Any]]  # the same, of files that are damaged
    events: list[dict[str, Any]]
    snapshots: list[dict[str, Any]]  # at most two, the latest last
    outdated: list[str]  # files of old snapshots that are not yet removed
    problems: list[str]  # one line each
    end: int  # bytes of the journal without a torn last line
    num_bytes: int
    has_plan: bool  # whether the journal holds a copy of the plan


def is_empty(folder: Path) -> bool:
    """Returns whether a store can begin in a folder.

    It can if the folder is empty, or holds only files that a killed process left.

    Raises:
        Refusal: the folder holds something else, or links.
    """
    if not folder.is_dir():
        return True
    refuse_links(folder)
    names = {entry.name for entry in folder.iterdir()}
    if PLAN in names or JOURNAL in names:
        return False
    if _OLD in names:
        raise Refusal(
            f"{folder} holds a run of an older format ({_OLD}, no {PLAN}): open it with"
            " the gradjax that wrote it, or name another folder"
        )
    foreign = sorted(one for one in names if not is_leftover(one) and one not in _FILES)
    if not foreign:
        return True
    raise Refusal(f"{folder} holds {foreign[0]!r} and no {PLAN}; name an empty folder")


def is_leftover(name: str) -> bool:
    """Returns whether a file is temporary, left by a killed process."""
    is_partial = name.startswith(".") and name.endswith(f".npz{PARTIAL}")
    return is_partial or name.startswith((f".{PLAN}.", f"{lock.LEASE}."))


def leftovers(folder: Path) -> list[str]:
    """Returns the temporary files that the holder of the lock may remove."""
    inside = [folder, *(folder / name for name in archive.FOLDERS.values())]
    return [
        str(entry.relative_to(folder))
        for place in inside
        for entry in place.iterdir()
        if is_leftover(entry.name)
    ]


def refuse_links(folder: Path) -> None:
    """Refuses links in a folder, and files of the store that are not plain files."""
    for inside in (folder, *(folder / name for name in archive.FOLDERS.values())):
        if inside != folder and not inside.is_dir():
            continue
        for entry in inside.iterdir():
            mode = entry.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise Refusal(f"{entry} is a link; remove it, only files are read")
            if inside == folder and entry.name in archive.FOLDERS.values():
                if not stat.S_ISDIR(mode):
                    raise Refusal(f"{entry} is not a folder; remove it")
            elif (inside != folder or entry.name in _FILES) and not stat.S_ISREG(mode):
                raise Refusal(f"{entry} is not a plain file; remove it")


def inspect(folder: Path) -> Found:
    """Reads the journal and verifies the sha256 of every file that it names."""
    lines = journal.read(folder / JOURNAL)
    kinds = sorted_by_kind(lines.records)
    has_plan = bool(kinds["plan"])
    files, lost, file_problems = _verified_files(folder, kinds["file"])
    snapshots, outdated, snapshot_problems = _verified_snapshots(
        folder, kinds["snapshot"]
    )
    problems = [
        *_journal_problems(folder / JOURNAL, lines, files, has_plan),
        *kinds["problems"],
        *_shorten(file_problems, "files"),
        *snapshot_problems,
    ]
    known = {record["file"] for record in [*files.values(), *lost.values()]}
    known |= {record["file"] for record in kinds["snapshot"]}
    problems += _foreign(folder, known)
    return Found(
        files,
        lost,
        kinds["event"],
        snapshots,
        outdated,
        problems,
        lines.end,
        lines.num_bytes,
        has_plan,
    )


def environments(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the environments that were accepted after that of the plan, in order."""
    return [event["environment"] for event in events if "environment" in event]


def accepted_environments(folder: Path) -> list[dict[str, Any]]:
    """Returns the accepted environments of a store that is not open."""
    records = journal.read(folder / JOURNAL).records
    return environments(sorted_by_kind(records)["event"])


def verify(folder: Path) -> list[str]:
    """Lists everything that is wrong with a store, a line each; changes nothing."""
    try:
        if is_empty(folder):
            return [f"no run or sweep in {folder}"]
    except Refusal as refusal:  # the folder has links, or is not a store
        return [str(refusal)]
    found: list[str] = []
    try:
        read_plan(folder, found.append)
        found += inspect(folder).problems
    except Refusal as refusal:  # no plan, or the journal cannot be read
        found.append(str(refusal))
    return found


def status(folder: Path, *, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Returns the state of a store from its journal; verifies no file.

    Args:
      folder: the folder of the store.
      say: is called with one line if plan.json is damaged and its copy is read.

    Returns:
      plan, num_segments, num_bytes of all files, num_events, snapshots (names),
      num_environments (accepted after that of the plan), num_damaged (lines of the
      journal) and owner (pid, host, since; or None).

    Raises:
        Refusal: there is no store, or its plan is damaged.
    """
    if is_empty(folder):
        raise Refusal(f"no run or sweep in {folder}")
    lines = journal.read(folder / JOURNAL)
    kinds = sorted_by_kind(lines.records)
    files = {record["name"]: record for record in kinds["file"]}
    segments = [one for one in files.values() if one["kind"] == "segment"]
    return {
        "plan": read_plan(folder, say),
        "num_segments": len(segments),
        "num_bytes": sum(record["bytes"] for record in files.values()),
        "num_events": len(kinds["event"]),
        "num_environments": len(environments(kinds["event"])),
        "snapshots": _kept_snapshots(kinds["snapshot"]),
        "num_damaged": len(lines.damaged) + (lines.tail is not None),
        "owner": lock.owner(folder),
    }


def sorted_by_kind(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Sorts journal lines into "file", "snapshot", "event", "plan" and "problems".

    A file holds a segment or the parameters of some trials. The problems are messages
    about all other lines.
    """
    names = ("file", "snapshot", "event", "plan")
    kinds: dict[str, list[Any]] = {name: [] for name in names}
    problems = []
    for record in records:
        if archive.is_sound(record):
            is_snapshot = record["kind"] == "snapshot"
            kinds["snapshot" if is_snapshot else "file"].append(record)
        elif record.get("kind") == "event" and isinstance(record.get("event"), dict):
            kinds["event"].append(record["event"])
        elif is_copy(record):
            kinds["plan"].append(record["plan"])
        else:
            shown = {key: record.get(key) for key in ("kind", "name", "file")}
            problems.append(f"{JOURNAL}: a line that is not ours is ignored: {shown}")
    return {**kinds, "problems": problems}


def _verified_files(
    folder: Path, records: list[dict[str, Any]]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]], list[str]]:
    """Returns the complete files, the damaged files, and a line for each of these."""
    latest = {record["name"]: record for record in records}
    files, lost, problems = {}, {}, []
    for name, record in latest.items():
        wrong = archive.damage(folder, record)
        if wrong is None:
            files[name] = record
            continue
        lost[name] = record
        after = _AFTER.get(record["kind"], "is computed again")
        problems.append(
            f"{folder / record['file']}: {wrong}; {record['kind']} {name!r} is not"
            f" committed any more, and {after}"
        )
    return files, lost, problems


def _kept_snapshots(records: list[dict[str, Any]]) -> list[str]:
    """Returns the names of the snapshots that the last line keeps, its own last."""
    return [*records[-1].get("keeps", []), records[-1]["name"]] if records else []


def _verified_snapshots(
    folder: Path, records: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """Returns the complete snapshots, the files of old ones, and lines on damage."""
    latest = {record["name"]: record for record in records}
    kept = [latest[name] for name in _kept_snapshots(records) if name in latest]
    wrong = [archive.damage(folder, record) for record in kept]
    whole = [record for record, line in zip(kept, wrong, strict=True) if line is None]
    names = [record["name"] for record in kept]
    outdated = [r["file"] for name, r in latest.items() if name not in names]
    before = f"the one before, {whole[-1]['name']!r}" if whole else "no snapshot"
    problems = [
        f"{folder / record['file']}: {line}; the snapshot is left out"
        + (f", going on from {before}" if record is kept[-1] else "")
        for record, line in zip(kept, wrong, strict=True)
        if line is not None
    ]
    return whole, outdated, problems


def _journal_problems(
    path: Path,
    lines: journal.Journal,
    committed: dict[str, dict[str, Any]],
    has_plan: bool,
) -> list[str]:
    done = {f"{record['kind']} {name!r}" for name, record in committed.items()}
    done |= {"plan"} if has_plan else set()
    problems = [
        f"{path}: line {line.line} ({line.hint or 'unreadable'}) is damaged; what it"
        " committed is not committed any more, and is computed again"
        for line in lines.damaged
        if line.hint not in done  # it has been computed again since
    ]
    if lines.tail is not None:
        hint = f" ({lines.tail.hint})" if lines.tail.hint else ""
        problems.append(
            f"{path}: its last line, {lines.tail.line}{hint}, is torn; its"
            f" {lines.num_bytes - lines.end} bytes do not count, and an opening to"
            " write cuts them"
        )
    return problems


def _foreign(folder: Path, known: set[str]) -> list[str]:
    """Returns a line for each folder with files that the journal does not name."""
    found = []
    for name in ("", *archive.FOLDERS.values()):
        inside = folder / name
        ours = {*_FILES, *archive.FOLDERS.values()} if not name else known
        names = [
            entry.name
            for entry in sorted(inside.iterdir() if inside.is_dir() else ())
            if f"{name}/{entry.name}".lstrip("/") not in ours
            and not is_leftover(entry.name)
        ]
        if names:
            shown = ", ".join(map(repr, names[:3])) + (", ..." if names[3:] else "")
            found.append(f"{inside}: {len(names)} not in the journal, ignored: {shown}")
    return found


def _shorten(lines: list[str], what: str) -> list[str]:
    if len(lines) <= _LISTED:
        return lines
    return [*lines[:_LISTED], f"... and {len(lines) - _LISTED} more {what} like these"]
