"""The plan of a store: written first, with its own digest, and a copy in the journal.

If `plan.json` is lost or damaged, the copy is read, and the next command that writes in
the folder restores the file.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradjax.errors import Refusal
from gradjax.files import write_json
from gradjax.records import journal

PLAN = "plan.json"
FORMAT = 2
_KIND = "plan"  # of the line of the journal that holds the copy
# For a reader: the sources have digests, and so have initial parameters.
_HINTS = ("environment.git_revision", "environment.cpu", "init_from")
_ADDED = ("environment.instruction_set",)  # older records do not have it
_INITIAL = "settings.init_from"
_CONTENTS = "data.fingerprint"
_SHOWN = 5  # differences that are listed; the others are only counted


def write_plan(folder: Path, plan: dict[str, Any]) -> None:
    """Writes plan.json atomically.

    Args:
      folder: the folder of the store.
      plan: as `journal.plain` returns it.
    """
    content = {"format": FORMAT, "check": _check(plan), "plan": plan}
    write_json(folder / PLAN, content)


def read_plan(folder: Path, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Reads the plan of a store, or its copy in the journal.

    Args:
      folder: the folder of the store.
      say: is called with one line if the copy is read.

    Raises:
        Refusal: the plan is missing, damaged, or of another format, and the journal has
            no copy of it.
    """
    path = folder / PLAN
    try:
        form, plan = _read_file(path)
    except Refusal as refusal:
        copy = _read_copy(folder)
        if copy is None:
            raise
        if say is not None:
            wrong = str(refusal).partition("; ")[0]
            say(
                f"{wrong}; its copy in {journal.FILE} is used, and the same command"
                " restores it"
            )
        return copy
    if form != FORMAT:
        raise Refusal(
            f"{path} has format {form!r}, and this version of gradjax reads format"
            f" {FORMAT}: open it with the version that wrote it, or name another folder"
        )
    return plan


def is_intact(folder: Path) -> bool:
    """Returns whether plan.json can be read without its copy."""
    try:
        _read_file(folder / PLAN)
    except Refusal:
        return False
    return True


def line_of(plan: dict[str, Any]) -> dict[str, Any]:
    """Returns the line of the journal that holds a copy of the plan."""
    return {"kind": _KIND, "format": FORMAT, "plan": plan}


def is_copy(record: dict[str, Any]) -> bool:
    """Returns whether a line of the journal holds a copy of the plan."""
    is_plan = record.get("kind") == _KIND and isinstance(record.get("plan"), dict)
    return is_plan and record.get("format") == FORMAT


def _read_copy(folder: Path) -> dict[str, Any] | None:
    records = journal.read(folder / journal.FILE).records
    copies = [record["plan"] for record in records if is_copy(record)]
    return copies[-1] if copies else None


def _read_file(path: Path) -> tuple[Any, dict[str, Any]]:
    """Reads plan.json without its copy; returns its format and the plan."""
    fix = "put back a copy of it, let --overwrite begin again, or name another folder"
    try:
        content = json.loads(path.read_bytes(), parse_constant=lambda _: None)
        form, check, plan = content["format"], content["check"], content["plan"]
    except FileNotFoundError:
        raise Refusal(f"{path} is missing; {fix}") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise Refusal(f"{path} is damaged ({reason}); {fix}") from error
    if not isinstance(plan, dict) or check != _check(plan):
        raise Refusal(f"{path} is damaged (its sha256 differs); {fix}")
    return form, plan


def check_same(
    folder: Path,
    there: dict[str, Any],
    accepted: list[dict[str, Any]],
    asked: dict[str, Any],
    accept_changes: bool,
) -> bool:
    """Compares the requested plan with the plan of a store.

    Args:
      folder: the folder of the store.
      there: the plan of the store.
      accepted: the changed environments that the store has accepted, oldest first.
      asked: the requested plan.
      accept_changes: whether a different `environment` is accepted.

    Returns:
      Whether the environment differs from that of the store, which is the one accepted
      last, or else that of `there`.

    Raises:
        Refusal: the environment differs and this is not accepted, or another part of
            the plan differs. The message lists the differences.
    """
    if accepted:
        there = {**there, "environment": accepted[-1]}
    old, new, differing = _flat(there), _flat(asked), differences(there, asked)
    has_both = "environment" in there and "environment" in asked
    others = [
        key
        for key in differing
        if not (has_both and key.split(".")[0] == "environment")
    ]
    if others or (differing and not accept_changes):
        fix = "--overwrite replaces it, another --workdir leaves it"
        if not others:
            fix = (
                "--accept_changes goes on in the new environment and marks its rows,"
                " --overwrite begins again"
            )
        # Differences that no flag accepts come first.
        listed = [
            _difference(key, old, new) for key in dict.fromkeys([*others, *differing])
        ]
        more = len(listed) - _SHOWN
        listed = listed[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])
        raise Refusal(
            f"{folder} holds trials of another plan ({'; '.join(listed)}); {fix}"
        )
    return bool(differing)


def differences(there: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Returns the dotted names of what decides and differs in two plans."""
    old, new = _flat(there), _flat(asked)
    return [
        key
        for key in {**old, **new}
        if old.get(key) != new.get(key)
        and key not in _HINTS
        and (key in old or key not in _ADDED)
    ]


def _difference(key: str, old: dict[str, str], new: dict[str, str]) -> str:
    """Returns what differs; changed contents of the data are named by their origin."""
    if key == _CONTENTS and key in old and key in new:
        origin = new.get("data.origin", new.get("data.name", "the data"))
        return f"the contents of the data have changed: {origin}"
    if key == _INITIAL and key in old and key in new:
        source = new.get("init_from", "")
        return f"its trials start at other parameters than those of {source}"
    return f"{key} {_format(old, key)} there, {_format(new, key)} asked"


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Returns dotted key -> the JSON of its value."""
    if not isinstance(value, dict) or not value:
        return {prefix: journal.compact(value).decode()} if prefix else {}
    parts = [
        _flat(item, f"{prefix}.{key}" if prefix else key) for key, item in value.items()
    ]
    return {key: text for part in parts for key, text in part.items()}


def _format(flat: dict[str, str], key: str) -> str:
    text = flat.get(key, "(none)")
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check(plan: Any) -> str:
    return hashlib.sha256(journal.compact(plan)).hexdigest()
