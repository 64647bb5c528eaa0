r"""A file of checksummed lines, to which lines are only ever added.

    {"check":"<sha256 of the rest>","kind":"segment","name":"a", ...}

`check` is the digest of the line's bytes with `"check":"...",` taken out, so any bit
that flips in a line is found. A line is added whole and fsynced; what a kill leaves of
the last one, without its newline or its digest, is cut before the next is added.
"""

import contextlib
import hashlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.errors import Refusal
from gradjax.records import faults
from gradjax.records.durable import write_all

_LINE = re.compile(rb'\{"check":"([0-9a-f]{64})",(.*)', re.DOTALL)
_NAME = re.compile(rb'"kind":"(segment|params|snapshot)","name":"([A-Za-z0-9._-]+)"')


class Damaged(NamedTuple):
    """A line that does not have its digest."""

    line: int  # from 1
    hint: str  # "segment 'a'", as far as it can be read; else ""


class Journal(NamedTuple):
    """What a journal says."""

    records: list[dict[str, Any]]  # of the whole lines, in order
    damaged: list[Damaged]  # in the middle
    tail: Damaged | None  # the torn last line
    end: int  # bytes without the tail
    num_bytes: int  # with it


def read(path: Path) -> Journal:
    """Reads every line; a file that is not there is an empty journal."""
    content = path.read_bytes() if path.exists() else b""
    lines = content.split(b"\n")
    rest = lines.pop()
    records = [decoded(line) for line in lines]
    damaged = [
        Damaged(k + 1, _hint(lines[k]))
        for k, record in enumerate(records)
        if record is None
    ]
    whole = [record for record in records if record is not None]
    if rest:
        tail = Damaged(len(lines) + 1, _hint(rest))
        return Journal(whole, damaged, tail, len(content) - len(rest), len(content))
    if damaged and damaged[-1].line == len(lines):
        end = len(content) - len(lines[-1]) - 1
        return Journal(whole, damaged[:-1], damaged[-1], end, len(content))
    return Journal(whole, damaged, None, len(content), len(content))


def append(file: io.FileIO, record: dict[str, Any], stage: str) -> None:
    """Adds a line and fsyncs it; if that fails, what was written of it is cut again.

    Args:
      file: from `durable.open_to_append`.
      record: already `plain`.
      stage: the first half of the fault points' names.
    """
    faults.reached(f"{stage}:before_journal")
    line = encoded(record)
    end = file.seek(0, os.SEEK_END)
    if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
        raise Refusal(f"{file.name}: its last line is torn; open it again to cut it")
    try:
        half = len(line) // 2
        write_all(file, line[:half])
        faults.reached(f"{stage}:mid_journal")
        write_all(file, line[half:])
        faults.reached(f"{stage}:before_journal_fsync")
        os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            file.truncate(end)  # the next line must not follow half of this one
        raise
    faults.reached(f"{stage}:after_journal")


def encoded(record: dict[str, Any]) -> bytes:
    """The line of a record that is not empty, with its newline."""
    body = compact(record)
    check = hashlib.sha256(body).hexdigest().encode()
    return b'{"check":"' + check + b'",' + body[1:] + b"\n"


def decoded(line: bytes) -> dict[str, Any] | None:
    """The record of a line without its newline; None if it is damaged."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    body = b"{" + match[2]
    if hashlib.sha256(body).hexdigest().encode() != match[1]:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def plain(value: Any, what: str) -> Any:
    """The value as JSON gives it back: tuples and arrays as lists, keys as text.

    NaN and infinity become None, as in every JSON file of ours: JSON has neither.

    Raises:
        Refusal: it holds something else; `what` names it.
    """
    try:
        text = json.dumps(value, default=_of_array)
        return json.loads(text, parse_constant=lambda _: None)
    except (TypeError, ValueError, RecursionError) as error:
        raise Refusal(f"{what} cannot be kept as JSON: {error}") from error


def compact(value: Any) -> bytes:
    """A plain value as JSON in one line of ASCII."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _of_array(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a number, text, list or dict")


def _hint(line: bytes) -> str:
    match = _NAME.search(line)
    return f"{match[1].decode()} {match[2].decode()!r}" if match else ""
