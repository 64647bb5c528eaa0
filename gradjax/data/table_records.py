"""Texts of the user, usually with labels, as records: a file of CSV, TSV or JSON lines.

The file has names of columns: a header, or the keys of each object. It is read row by
row, so its size has no bound; `text_files` also reads files without a header.
"""

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gradjax import expressions
from gradjax.data import long_texts, record_format
from gradjax.data.record_format import Features, Serialise
from gradjax.data.record_writer import Content
from gradjax.data.rows import normal
from gradjax.data.text_files import LABELS, TEXTS
from gradjax.errors import Refusal

MAX_CLASSES = 10_000
_JSON = (".jsonl", ".ndjson", ".json")
Row = tuple[int, list[str]]  # the number of its first line, its fields


class Columns(NamedTuple):
    """The columns that are read."""

    text: str
    label: str | None  # None: there are no labels, and the texts are one long text


def content(
    path: Path,
    text: str | None = None,
    label: str | None = None,
    has_labels: bool = True,
) -> Content:
    """Returns the records of a table of texts and labels.

    Args:
      path: the file; the ending .jsonl, .ndjson or .json means JSON lines, .tsv tabs,
        any other one commas, semicolons or tabs, whichever the header has most of.
        `.gz` after it is unpacked.
      text: the name of the column of texts. None: a usual one, such as text.
      label: the same for labels, such as label or class.
      has_labels: whether labels are read; without them it is a plain text, for a
        language model, in which each row is a line.

    Raises:
      Refusal: the file cannot be read, a column is unknown, a row is wrong or has an
        empty text or label, or there are fewer than two labels or too many. The line
        has the file and the number of the line.
    """
    columns = _columns(path, (text, label), has_labels)
    count, names = _counted(path, columns)
    numbers = {name: number for number, name in enumerate(names)}
    features = Features(None, names if has_labels else None)
    serialise = record_format.serialiser(features)

    def records(units: Iterator[int], skip: int) -> Iterator[bytes]:
        units = itertools.islice(units, skip, None)
        wanted = next(units, None)
        for place, (line, text, label) in enumerate(_examples(path, columns)):
            if wanted is None:
                return
            if place == wanted:
                yield _record(serialise, numbers, (f"{path}:{line}", text, label))
                wanted = next(units, None)

    described = f"{count:,} texts in {len(names):,} classes, from the columns"
    described = f"{described} {columns.text!r} and {columns.label!r} of {path.name}"
    if not has_labels:
        described = f"{count:,} texts from the column {columns.text!r} of {path.name}"
    asked = {"kind": "table", "file": long_texts.sha256(path), **columns._asdict()}
    return Content(features, count, count, records, asked, described)


def _record(
    serialise: Serialise, numbers: dict[str, int], example: tuple[str, str, str]
) -> bytes:
    where, text, label = example
    if not numbers:
        return serialise(f"{text}\n".encode(), None)
    if label not in numbers:
        raise Refusal(f"{where}: has changed while it was read")
    return serialise(text.encode(), numbers[label])


def _counted(path: Path, columns: Columns) -> tuple[int, tuple[str, ...]]:
    """Returns the number of rows, and the names of the classes in their order."""
    found: set[str] = set()
    count = 0
    for number, _, label in _examples(path, columns):
        count += 1
        found.add(label)
        if len(found) > MAX_CLASSES:
            raise Refusal(
                f"{path}:{number}: more than {MAX_CLASSES} labels in column"
                f" {columns.label!r}; give another --label_column"
            )
    if columns.label is None:
        return count, ()
    if len(found) < 2:
        raise Refusal(f"{path}: {len(found)} label in {count} rows; expected two")
    return count, tuple(sorted(found))


def _columns(
    path: Path, wanted: tuple[str | None, str | None], has_labels: bool
) -> Columns:
    first = next(_rows(path), None)
    if first is None:
        raise Refusal(f"{path}: empty; expected rows")
    header = first[1]
    text = _column(path, header, "text_column", wanted[0], TEXTS)
    if not has_labels:
        return Columns(text, None)
    label = _column(path, header, "label_column", wanted[1], LABELS)
    if text == label:
        raise Refusal(f"{path}: column {text!r} cannot be both the text and the label")
    return Columns(text, label)


def _column(
    path: Path, header: list[str], flag: str, wanted: str | None, usual: tuple[str, ...]
) -> str:
    """Chooses a column by its name, or by the usual names, the preferred ones first."""
    if wanted is not None:
        if wanted not in header:
            line = expressions.unknown(wanted, header, "column")
            raise Refusal(f"{path}: --{flag}={wanted}: {line}")
        return wanted
    said = [normal(name) for name in header]
    for name in usual:
        if said.count(name) == 1:
            return header[said.index(name)]
    shown = ", ".join(map(repr, header))
    raise Refusal(
        f"{path}:1: which column? The names are {shown[:200]}: give --{flag}=NAME"
    )


def _examples(path: Path, columns: Columns) -> Iterator[tuple[int, str, str]]:
    """Yields the line, the text and the label of each row; without labels ""."""
    rows = _rows(path)
    _, header = next(rows)
    used = [name for name in columns if name is not None]
    places = [header.index(name) for name in used]
    for number, fields in rows:
        values = [fields[place].strip() for place in places]
        if "" in values:
            name = used[values.index("")]
            raise Refusal(f"{path}:{number}: column {name!r} is empty")
        text, *labels = values
        # The name of a class is one line.
        yield number, text, " ".join("".join(labels).split())


def _rows(path: Path) -> Iterator[Row]:
    """Yields the names of the columns, and then the rows."""
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    return _json_rows(path) if ending in _JSON else _separated(path, ending)


def _separated(path: Path, ending: str) -> Iterator[Row]:
    header = next(long_texts.lines(path), "")
    separator = "\t" if ending == ".tsv" else max(",;\t", key=header.count)
    limit = csv.field_size_limit(long_texts.MAX_LINE)
    reader = csv.reader(long_texts.lines(path), delimiter=separator, strict=True)
    expected = 0
    try:
        while True:
            number = reader.line_num + 1
            try:
                fields = next(reader, None)
            except csv.Error as error:
                raise Refusal(f"{path}:{number}: {error}") from error
            if fields is None:
                return
            if not any(field.strip() for field in fields):
                continue
            expected = expected or len(fields)
            if len(fields) != expected:
                raise Refusal(
                    f"{path}:{number}: {len(fields)} fields; expected {expected}, as in"
                    " the header"
                )
            yield number, fields
    finally:
        csv.field_size_limit(limit)


def _json_rows(path: Path) -> Iterator[Row]:
    header: list[str] = []
    for number, line in enumerate(long_texts.lines(path), 1):
        if not line.strip():
            continue
        value = _object(path, number, line)
        if not header:
            header = list(value)
            yield number, header
        yield number, [_as_text(value.get(name)) for name in header]


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", str(error))
        raise Refusal(f"{path}:{number}: not JSON ({reason}); expected objects") from (
            error
        )
    if not isinstance(value, dict) or not value:
        kind = type(value).__name__
        raise Refusal(f"{path}:{number}: a {kind}; expected an object on each line")
    return value


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
