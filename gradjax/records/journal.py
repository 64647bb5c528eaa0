r"""The journal: a file of lines with checksums, to which lines are only appended.

    {"check":"<sha256 of the rest>","kind":"segment","name":"a", ...}

`check` is the digest of the bytes of the line without `"check":"...",`, so every
changed bit in a line is found. A line is written and fsynced. If a killed process left
a part of the last line, without its newline or its digest, this part is cut off before
the next line is appended.
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

FILE = "journal.jsonl"
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))  # made once
_LINE = re.compile(rb'\{"check":"([0-9a-f]{64})",(.*)', re.DOTALL)
_NAME = re.compile(
    rb'"kind":"(segment|params|snapshot|states)","name":"([A-Za-z0-9._-]+)"'
)


class Damaged(NamedTuple):
    """A line whose digest is wrong or missing."""

    line: int  # from 1
    hint: str  # such as "segment 'a'" or "plan", if it can be read; otherwise ""


class Journal(NamedTuple):
    """The content of a journal."""

    records: list[dict[str, Any]]  # of the complete lines, in order
    damaged: list[Damaged]  # damaged lines before the last one
    tail: Damaged | None  # the last line, if it is torn
    end: int  # bytes without the torn line
    num_bytes: int  # bytes with it


def read(path: Path) -> Journal:
    """Reads every line; a missing file is an empty journal.

    Raises:
        Refusal: the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror or error}") from error
    lines = content.split(b"\n")
    rest = lines.pop()
    records = [decode(line) for line in lines]
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


def append(
    file: io.FileIO, record: dict[str, Any] | list[dict[str, Any]], stage: str
) -> None:
    """Appends a line, or several lines, to the journal and fsyncs it.

    If this fails, the part of the line that was written is removed again.

    Args:
      file: from `durable.open_to_append`.
      record: the content of the line, as `plain` returns it; or those of the lines.
      stage: the first part of the names of the fault points in `records.faults`, such
        as "commit".

    Raises:
        Refusal: the last line of the file is incomplete.
        OSError: the line cannot be written, for example because the disk is full.
    """
    faults.reach(f"{stage}:before_journal")
    line = b"".join(map(encode, record if isinstance(record, list) else [record]))
    end = file.seek(0, os.SEEK_END)
    if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
        raise Refusal(f"{file.name}: its last line is torn; open it again to cut it")
    try:
        half = len(line) // 2
        write_all(file, line[:half])
        faults.reach(f"{stage}:mid_journal")
        write_all(file, line[half:])
        faults.reach(f"{stage}:before_journal_fsync")
        os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            file.truncate(end)  # otherwise the next line would follow a part of this
        raise
    faults.reach(f"{stage}:after_journal")


def encode(record: dict[str, Any]) -> bytes:
    """Returns the line of a record that is not empty, with its newline."""
    body = compact(record)
    check = hashlib.sha256(body).hexdigest().encode()
    return b'{"check":"' + check + b'",' + body[1:] + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """Returns the record of a line without its newline; None if it is damaged."""
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
    """Returns a value as JSON represents it: tuples and arrays as lists, text keys.

    NaN and infinity become None, as in all our JSON files, because JSON has neither.

    Raises:
        Refusal: the value holds something that is not JSON; `what` names the value.
    """
    try:
        text = json.dumps(value, default=_of_array)
        return json.loads(text, parse_constant=lambda _: None)
    except (TypeError, ValueError, RecursionError) as error:
        raise Refusal(f"{what} cannot be kept as JSON: {error}") from error


def compact(value: Any) -> bytes:
    """Returns a plain value as JSON in one line of ASCII."""
    return _ENCODER.encode(value).encode()


def _of_array(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a number, text, list or dict")


def _hint(line: bytes) -> str:
    if b'"kind":"plan"' in line:
        return "plan"
    match = _NAME.search(line)
    return f"{match[1].decode()} {match[2].decode()!r}" if match else ""
