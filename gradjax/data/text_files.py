"""Reads text files of the user: a table of texts and labels, or any text.

A wrong line is refused with its file and line number.
"""

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gradjax.data import columns
from gradjax.data import content as contents
from gradjax.data import rows as row_files
from gradjax.data.columns import Column, Role
from gradjax.data.order import order
from gradjax.data.rows import Rows
from gradjax.data.strings import LabelledTexts, Part, PlainText
from gradjax.errors import Refusal

_MIN_LINES = 10  # so that a tenth of a single file is at least one line
_MIN_CHARACTERS = 20  # so that a twentieth of a text is at least one character
_SPLIT_SEED = 0  # fixed, because every run must be evaluated on the same examples
_SPLITS = ("train", "validation", "test")
_ENDINGS = ("tsv", "csv", "jsonl")
# Usual names of the columns, the preferred ones first.
TEXTS = (
    *("text", "sentence", "review", "content", "body", "message", "comment", "tweet"),
    *("utterance", "question", "document", "description", "title"),
)
LABELS = (
    *("label", "labels", "class", "category", "target", "sentiment", "intent", "topic"),
    *("y", "stars", "rating", "score", "tag"),
)
_Example = tuple[int, str, str]  # the number of the line, the label, the text


class _Read(NamedTuple):
    """The examples of one file."""

    examples: list[_Example]
    rows: Rows
    places: tuple[Column, Column]  # of the text and of the label


def is_folder(name: str) -> bool:
    """Says whether a name is a folder with a file for each split."""
    return os.path.isdir(name) and _file_of(Path(name), "train").is_file()


def read_table(
    name: str, text_column: str | None = None, label_column: str | None = None
) -> LabelledTexts:
    """Reads texts and labels from one file, or from a folder with one per split.

    A file is CSV, TSV or JSON lines, see `rows.read`. The columns are those given, or
    those with usual names such as text and label, sentence and class; of two columns
    the other one is the other. Without a header and without given columns there must
    be two columns, and the one with fewer different values is the label (`LABEL<tab>
    TEXT`, or the reverse). A first line whose label occurs nowhere else, where every
    other label occurs at least twice, is a header.

    A single file gets a fixed split: a fifth for test, a tenth for validation. A folder
    contains train.tsv, validation.tsv and test.tsv, or the same as .csv or .jsonl.
    Labels are words. The classes are the labels of the train split (or of the complete
    single file) in alphabetical order.

    Args:
      name: the path.
      text_column: the name or the number, from 1, of the column of the texts.
      label_column: the same for the labels.

    Raises:
      Refusal: a file is missing or not UTF-8, a row has another number of fields, a
        column is unknown or cannot be found, a label or a text is empty, a label does
        not occur in the train split, or there are too few lines. The message has the
        file and the line number.
    """
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path):
        files = [_file_of(path, split) for split in _SPLITS]
        found = [contents.read(file) for file in files]
        reads = [
            _read(file, content, text_column, label_column)
            for file, content in zip(files, found, strict=True)
        ]
        tables = [read.examples for read in reads]
        class_names = _classes(files[0], tables[0])
    else:
        files, found = [path] * 3, [contents.read(path)]
        reads = [_read(path, found[0], text_column, label_column)]
        tables = _split(path, reads[0].examples)
        class_names = _classes(path, reads[0].examples)
    numbers = {label: number for number, label in enumerate(class_names)}
    train, validation, test = (
        _part(*pair, numbers) for pair in zip(files, tables, strict=True)
    )
    return LabelledTexts(
        path.name,
        train,
        validation,
        test,
        class_names,
        _digest(*found),
        str(path),
        _understood(reads, class_names),
    )


def read_text(name: str) -> PlainText:
    """Reads any UTF-8 text: first 90 % train, then 5 % validation, then 5 % test.

    Raises:
      Refusal: the file is missing, empty, not UTF-8, or too short to be split.
    """
    path = Path(os.path.expanduser(name))
    content = contents.read(path)
    text = contents.decode(path, content).replace("\r\n", "\n")
    first, second = len(text) * 90 // 100, len(text) * 95 // 100
    train, validation, test = text[:first], text[first:second], text[second:]
    if len(text) < _MIN_CHARACTERS:
        raise Refusal(
            f"{path}: {len(text)} characters; expected at least {_MIN_CHARACTERS}: nine"
            " tenths train and a twentieth each is for validation and test"
        )
    return PlainText(path.name, train, validation, test, _digest(content), str(path))


def _file_of(folder: Path, split: str) -> Path:
    """Returns the file of a split; where there is none, the name that is missed."""
    names = [f"{split}.{ending}" for ending in _ENDINGS]
    found = [folder / name for name in names if (folder / name).is_file()]
    return found[0] if found else folder / names[0]


def _read(
    path: Path, content: bytes, text_column: str | None, label_column: str | None
) -> _Read:
    given = [row_files.normal(one) for one in (text_column, label_column) if one]
    known = {*TEXTS, *LABELS, *(one for one in given if not one.isdecimal())}
    rows = row_files.read(path, known, content)
    if rows.header is None and _is_lonely(rows, text_column, label_column):
        rows = row_files.with_first_as_header(rows)
    text, label = _columns(rows, text_column, label_column)
    examples = [
        _example(path, line, row[label.place], row[text.place])
        for line, row in zip(rows.lines, rows.fields, strict=True)
    ]
    return _Read(examples, rows, (text, label))


def _is_lonely(rows: Rows, text_column: str | None, label_column: str | None) -> bool:
    """Says whether the label of the first row alone occurs once."""
    if rows.num_columns != 2 or len(rows.fields) < _MIN_LINES:
        return False
    _, label = _columns(rows, text_column, label_column)
    counts = Counter(row[label.place].strip() for row in rows.fields)
    once = [name for name, count in counts.items() if count == 1]
    return once == [rows.fields[0][label.place].strip()] and len(counts) > 2


def _columns(
    rows: Rows, text_column: str | None, label_column: str | None
) -> tuple[Column, Column]:
    """Returns the columns of the text and of the label."""
    text, label = columns.two(
        rows,
        (
            Role("texts", "text_column", text_column, TEXTS),
            Role("labels", "label_column", label_column, LABELS),
        ),
        _by_number_of_values,
    )
    if text == label:
        raise Refusal(
            f"{rows.path}: {text.shown} cannot be both the text and the label"
        )
    return text, label


def _by_number_of_values(rows: Rows) -> tuple[Column, Column]:
    """Takes the column with fewer different values, or the first one, as the label."""
    counts = [len(set(values)) for values in zip(*rows.fields, strict=True)]
    label = counts.index(min(counts))
    return columns.nth(rows, 1 - label), columns.nth(rows, label)


def _example(path: Path, number: int, label: str, text: str) -> _Example:
    label, text = label.strip(), text.strip()
    if not label:
        shown = repr(text if len(text) <= 40 else f"{text[:37]}...")
        what = f"an empty label for the text {shown}"
        raise Refusal(f"{path}:{number}: {what}; expected a label and a text")
    if not text:
        what = f"an empty text for label {label!r}"
        raise Refusal(f"{path}:{number}: {what}; expected a label and a text")
    return number, label, text


def _understood(reads: list[_Read], class_names: tuple[str, ...]) -> str:
    """Describes in one line what was understood of the files."""
    text, label = reads[0].places
    num_texts = sum(len(read.examples) for read in reads)
    counts = [f"{num_texts:,} texts", f"{len(class_names):,} classes"]
    if len(reads) > 1:
        counts = [f"{num_texts:,} texts in three files", counts[1]]
    said = [f"text in {text.shown}", f"label in {label.shown}"]
    return columns.described(reads[0].rows, said, counts)


def _split(path: Path, examples: list[_Example]) -> list[list[_Example]]:
    """Splits the lines of a single file into train, validation and test."""
    count = len(examples)
    if count < _MIN_LINES:
        raise Refusal(
            f"{path}: {count} lines; expected at least {_MIN_LINES}, so that"
            " train, validation and test have some each"
        )
    places = order(_SPLIT_SEED, 0, np.arange(count, dtype=np.uint32), count)
    num_test, num_validation = round(count / 5), round(count / 10)
    test, validation, train = np.split(places, [num_test, num_test + num_validation])
    return [[examples[k] for k in part] for part in (train, validation, test)]


def _classes(path: Path, examples: list[_Example]) -> tuple[str, ...]:
    names = sorted({label for _, label, _ in examples})
    if len(names) < 2:
        raise Refusal(f"{path}: one label, {names[0]!r}; expected at least two")
    return tuple(names)


def _part(path: Path, examples: list[_Example], numbers: dict[str, int]) -> Part:
    for line, label, _ in examples:
        if label not in numbers:
            known = ", ".join(sorted(numbers)[:5])
            raise Refusal(
                f"{path}:{line}: label {label!r} is not among the {len(numbers)} of the"
                f" train split: {known}{', ...' if len(numbers) > 5 else ''}"
            )
    labels = np.asarray([numbers[label] for _, label, _ in examples], np.int32)
    return Part([text for _, _, text in examples], labels)


def _digest(*contents: bytes) -> str:
    parts = (hashlib.sha256(content).hexdigest() for content in contents)
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
