"""Reads a file of rows of the user: CSV, TSV or JSON lines, with or without a header.

The ending and the content decide the format. A wrong line is refused with its file and
its line number; empty lines are left out.
"""

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gradjax.data import content as contents
from gradjax.errors import Refusal

_JSON = (".jsonl", ".ndjson", ".json")
# Ending -> the separators of the columns that are tried, in this order.
_SEPARATORS = {".csv": ",;\t", ".tsv": "\t"}
_OTHER_SEPARATORS = "\t,;"
_KIND = {"\t": "TSV", ",": "CSV", ";": "CSV with semicolons"}
_NAMES = {"\t": "a tab", ",": "a comma"}
Line = tuple[int, list[str]]  # the number of the line in the file, the fields


class Rows(NamedTuple):
    """The rows of a file of the user."""

    path: Path
    kind: str  # "CSV", "TSV", "JSON lines"
    header: tuple[str, ...] | None  # None: the file has no header
    fields: list[list[str]]  # of each row, as many as there are columns
    lines: list[int]  # the number of the line at which each row begins
    num_columns: int
    num_empty: int  # empty lines, which are left out


def read(
    path: Path,
    known: Collection[str],
    content: bytes | None = None,
    num_known: int = 1,
) -> Rows:
    """Reads the rows of a file.

    The ending .jsonl, .ndjson or .json, or a first character {, means JSON lines: one
    object a line. Otherwise the columns are separated by commas, semicolons or tabs
    (or by `::`, as in files of MovieLens): the first separator, in an order that
    depends on the ending, with which all rows have the same number of fields, and at
    least two. Fields may be quoted as in RFC 4180. A file with tabs whose quotation
    marks do not follow RFC 4180 is read as it is written, and further tabs belong to
    the last column.

    The first row is a header if `num_known` of its fields are known names that do not
    occur again in their column.

    Args:
      path: the file; a name that ends in .gz is unpacked.
      known: names of columns that mark a header, as `normal` writes them.
      content: of the file, if it was read before.
      num_known: the number of known names in a header.

    Raises:
      Refusal: the file is missing, empty or not UTF-8, or a line is wrong.
    """
    content = contents.read(path) if content is None else content
    text = contents.decode(path, content)
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    if ending in _JSON or text.lstrip().startswith("{"):
        return _json_lines(path, text)
    kind, rows, num_empty = _separated(path, text, ending)
    header = None
    if _is_header([fields for _, fields in rows], known, num_known):
        header = tuple(name.strip() for name in rows[0][1])
        rows = rows[1:]
    return _rows(path, kind, header, rows, num_empty)


def with_first_as_header(rows: Rows) -> Rows:
    """Takes the first row of a file without a header as its header."""
    return rows._replace(
        header=tuple(name.strip() for name in rows.fields[0]),
        fields=rows.fields[1:],
        lines=rows.lines[1:],
    )


def normal(name: str) -> str:
    """Returns a column's name for comparisons: `Movie ID` and `movieId` are movieid."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _is_header(rows: list[list[str]], known: Collection[str], num_known: int) -> bool:
    """Says whether the first row has known names that their columns do not repeat."""
    found = [
        place
        for place, name in enumerate(rows[0])
        if normal(name) in known and all(row[place] != name for row in rows[1:])
    ]
    return len(found) >= num_known


def _rows(
    path: Path,
    kind: str,
    header: tuple[str, ...] | None,
    rows: list[Line],
    num_empty: int,
) -> Rows:
    if not rows:
        raise Refusal(f"{path}: no row below its header")
    fields, lines = [row for _, row in rows], [number for number, _ in rows]
    num_columns = len(header or fields[0])
    return Rows(path, kind, header, fields, lines, num_columns, num_empty)


def _separated(path: Path, text: str, ending: str) -> tuple[str, list[Line], int]:
    """Returns the kind of the file, its rows, and the number of its empty lines."""
    if "::" in text.partition("\n")[0] and ending in ("", ".dat", ".txt"):
        return "columns separated by ::", *_literal(path, text, "::")
    separators = _SEPARATORS.get(ending, _OTHER_SEPARATORS)
    first = text.strip().partition("\n")[0]
    faults = []
    for separator in separators:
        try:
            rows, num_empty = _quoted(path, text, separator)
        except Refusal as error:
            if separator == "\t" and separator in first and ending != ".csv":
                return "TSV", *_literal(path, text, separator)
            faults.append(error)
            continue
        if len(rows[0][1]) > 1:
            return _KIND[separator], rows, num_empty
    if faults and separators[0] in first:
        raise faults[0]
    shown = repr(first if len(first) <= 40 else f"{first[:37]}...")
    expected = f"expected columns separated by {_NAMES[separators[0]]}"
    raise Refusal(f"{path}:1: one column in {shown}; {expected}")


def _quoted(path: Path, text: str, separator: str) -> tuple[list[Line], int]:
    """Parses fields that may be quoted; all rows must have as many as the first."""
    limit = csv.field_size_limit(contents.MAX_BYTES)
    try:
        return _checked(path, _parse(path, text, separator))
    finally:
        csv.field_size_limit(limit)


def _parse(path: Path, text: str, separator: str) -> Iterator[Line]:
    stream = io.StringIO(text, newline="")
    reader = csv.reader(stream, delimiter=separator, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            yield number, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise Refusal(f"{path}:{number}: {error}") from error


def _literal(path: Path, text: str, separator: str) -> tuple[list[Line], int]:
    """Splits each line; further separators belong to the last column."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    first = next(line for line in lines if line.strip())
    most = first.count(separator)
    cut = [line.split(separator, most) if line else [] for line in lines]
    return _checked(path, enumerate(cut, 1))


def _checked(path: Path, rows: Iterable[Line]) -> tuple[list[Line], int]:
    """Leaves out empty lines, and refuses a row with another number of fields."""
    found: list[Line] = []
    num_empty = 0
    for number, fields in rows:
        if not any(field.strip() for field in fields) and len(fields) < 2:
            num_empty += 1
            continue
        if found and len(fields) != len(found[0][1]):
            raise Refusal(
                f"{path}:{number}: {_count(fields)}; expected {len(found[0][1])}, as in"
                " the first line (quote a field that contains the separator)"
            )
        found.append((number, fields))
    return found, num_empty


def _count(fields: list[str]) -> str:
    return "1 field" if len(fields) == 1 else f"{len(fields)} fields"


def _json_lines(path: Path, text: str) -> Rows:
    header: tuple[str, ...] = ()
    rows: list[Line] = []
    num_empty = 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            num_empty += 1
            continue
        value = _json_object(path, number, line)
        header = header or tuple(value)
        if missing := [name for name in header if name not in value]:
            raise Refusal(f"{path}:{number}: no {missing[0]!r}, which line 1 has")
        rows.append((number, [_as_text(value[name]) for name in header]))
    num_empty -= text.endswith("\n")
    return _rows(path, "JSON lines", header, rows, num_empty)


def _json_object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", str(error))
        raise Refusal(
            f"{path}:{number}: not JSON ({reason}); expected one object on each line"
        ) from error
    if not isinstance(value, dict) or not value:
        kind = type(value).__name__
        raise Refusal(f"{path}:{number}: a {kind}; expected one object on each line")
    return _flat(value)


def _flat(value: dict[str, Any]) -> dict[str, Any]:
    """Returns `{"translation": {"en": ...}}` as `{"en": ...}`, as in many corpora."""
    (first, *others) = value.values()
    return first if not others and isinstance(first, dict) and first else value


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
