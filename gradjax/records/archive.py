"""The files of a store: named arrays in `.npz` files, and their journal lines."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gradjax.errors import Refusal

FOLDERS = {
    "segment": "segments",
    "params": "params",
    "snapshot": "snapshots",
    "states": "states",
    "kept_snapshot": "kept_snapshots",
}
MAX_NAME = 200  # file systems allow 255 bytes, and the store adds some to a name
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_KINDS = "biufcSU"  # of dtypes that an .npz preserves


def check_name(name: str, kind: str) -> None:
    """Refuses a name that is not a plain file name."""
    if not is_name(name):
        shown = repr(name) if len(repr(name)) <= 60 else f"{repr(name)[:57]}..."
        raise Refusal(
            f"{kind} {shown}: a name has 1 to {MAX_NAME} of A-Z a-z 0-9 . _ -, no '..'"
            " and no '.' first"
        )


def is_name(name: Any) -> bool:
    """Returns whether `check_name` accepts a name."""
    return (
        isinstance(name, str)
        and len(name) <= MAX_NAME
        and _NAME.fullmatch(name) is not None
        and ".." not in name
    )


def file_of(kind: str, name: str) -> str:
    """Returns the path of a file inside the folder."""
    return f"{FOLDERS[kind]}/{name}.npz"


def to_host(arrays: Mapping[str, Any], what: str) -> dict[str, np.ndarray]:
    """Copies arrays to the host and checks them.

    Raises:
        Refusal: a dtype that an `.npz` does not preserve (objects, bfloat16), or a name
            with control characters.
    """
    values = {name: np.asarray(value) for name, value in arrays.items()}
    for name, value in values.items():
        if value.dtype.kind not in _KINDS:
            raise Refusal(
                f"{what}: array {name!r} is {value.dtype}; only numbers, booleans and"
                " text are kept (bfloat16 as float32)"
            )
        if not name.isprintable():
            raise Refusal(f"{what}: array name {name!r} has control characters")
    return values


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Returns the sha256 of names, dtypes, shapes and values.

    The order of the arrays and their layout in memory do not change it.
    """
    total = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        head = repr((name, values.dtype.str, arrays[name].shape))
        total.update(head.encode() + hashlib.sha256(values.tobytes()).digest())
    return total.hexdigest()


def describe(kind: str, name: str, content: bytes) -> dict[str, Any]:
    """Returns the first fields of the journal line of a file."""
    return {
        "kind": kind,
        "name": name,
        "file": file_of(kind, name),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }


def is_sound(record: dict[str, Any]) -> bool:
    """Returns whether a journal line names a file completely, inside the folder."""
    kind, name = record.get("kind"), record.get("name")
    return (
        kind in FOLDERS
        and is_name(name)
        and record.get("file") == file_of(str(kind), str(name))
        and isinstance(record.get("sha256"), str)
        and isinstance(record.get("digest"), str)
        and type(record.get("bytes")) is int
    )


def damage(folder: Path, record: dict[str, Any]) -> str | None:
    """Compares the size and the sha256 of a file with its line in the journal.

    Args:
      folder: the folder of the store.
      record: the line of the journal that names the file.

    Returns:
      A description of the damage, or None if the file is intact.
    """
    path = folder / record["file"]
    try:
        size = path.lstat().st_size
        if size != record["bytes"]:
            return f"{size} bytes, expected {record['bytes']}"
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return error.strerror or str(error)
    if actual != record["sha256"]:
        return f"sha256 {actual[:12]}, expected {record['sha256'][:12]}"
    return None
