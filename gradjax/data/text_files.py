"""Reads text files of the user: a table of labels and texts, or any text.

A wrong line is refused with its file and line number.
"""

import hashlib
import os
from pathlib import Path

import numpy as np

from gradjax.data.order import order
from gradjax.data.strings import LabelledTexts, Part, PlainText
from gradjax.errors import Refusal

MAX_BYTES = 2**29  # of one file, because it is read into memory completely
_MIN_LINES = 10  # so that a tenth of a single file is at least one line
_MIN_CHARACTERS = 20  # so that a twentieth of a text is at least one character
_SPLIT_SEED = 0  # fixed, because every run must be evaluated on the same examples
_LINE = "expected LABEL<tab>TEXT"


def is_path(name: str) -> bool:
    """Says whether a data set's name refers to a file of the user.

    It does if it ends in .tsv or .txt, begins like a path, or if such a file exists.
    Any other name is a TFDS name, such as `glue/sst2`.
    """
    is_spelt = name.endswith((".tsv", ".txt")) or name.startswith(("/", "./", "../"))
    return is_spelt or name.startswith("~") or os.path.isfile(name)


def read_table(name: str) -> LabelledTexts:
    """Reads lines `LABEL<tab>TEXT` from one file, or from a folder with one per split.

    A single file gets a fixed split: a fifth for test, a tenth for validation. A folder
    contains train.tsv, validation.tsv and test.tsv. Labels are words. The classes are
    the labels of the train split (or of the complete single file) in alphabetical
    order.

    Args:
      name: the path.

    Raises:
      Refusal: a file is missing or not UTF-8, a line has no tab, a label or a text is
        empty, a label does not occur in the train split, or there are too few lines.
        The message has the file and the line number.
    """
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path):
        files = [path / f"{split}.tsv" for split in ("train", "validation", "test")]
        contents = [_content(file) for file in files]
        tables = [_rows(*pair) for pair in zip(files, contents, strict=True)]
        class_names = _classes(files[0], tables[0])
    else:
        files, contents = [path], [_content(path)]
        rows = _rows(path, contents[0])
        if len(rows) < _MIN_LINES:
            raise Refusal(
                f"{path}: {len(rows)} lines; expected at least {_MIN_LINES}, so that"
                " train, validation and test have some each"
            )
        files, tables = [path] * 3, _split(rows)
        class_names = _classes(path, rows)
    numbers = {label: number for number, label in enumerate(class_names)}
    train, validation, test = (
        _part(*pair, numbers) for pair in zip(files, tables, strict=True)
    )
    fingerprint = _digest(*contents)
    return LabelledTexts(
        path.name, train, validation, test, class_names, fingerprint, str(path)
    )


def read_text(name: str) -> PlainText:
    """Reads any UTF-8 text: first 90 % train, then 5 % validation, then 5 % test.

    Raises:
      Refusal: the file is missing, empty, not UTF-8, or too short to be split.
    """
    path = Path(os.path.expanduser(name))
    content = _content(path)
    text = _decode_utf8(path, content)
    first, second = len(text) * 90 // 100, len(text) * 95 // 100
    train, validation, test = text[:first], text[first:second], text[second:]
    if len(text) < _MIN_CHARACTERS:
        raise Refusal(
            f"{path}: {len(text)} characters; expected at least {_MIN_CHARACTERS}: nine"
            " tenths train and a twentieth each is for validation and test"
        )
    return PlainText(path.name, train, validation, test, _digest(content), str(path))


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise Refusal(f"{path}: {size} bytes; expected at most {MAX_BYTES}")
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: NUL in a path
        if isinstance(error, Refusal):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise Refusal(f"{str(path)!r}: {reason}; expected a text file") from error
    if not content.strip():
        raise Refusal(f"{path}: empty; expected text")
    return content


def _decode_utf8(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte {content[error.start]:#04x} is not UTF-8"
        raise Refusal(f"{path}:{line}: {found}; expected text in UTF-8") from error


def _rows(path: Path, content: bytes) -> list[tuple[int, str, str]]:
    """Splits the content into (line number, label, text) of each line."""
    lines = _decode_utf8(path, content).removesuffix("\n").split("\n")
    return [_row(path, number, line) for number, line in enumerate(lines, 1)]


def _row(path: Path, number: int, line: str) -> tuple[int, str, str]:
    label, tab, text = line.partition("\t")
    if not tab:
        shown = repr(line if len(line) <= 40 else f"{line[:37]}...")
        raise Refusal(f"{path}:{number}: no tab in {shown}; {_LINE}")
    label, text = label.strip(), text.strip()
    if not label:
        raise Refusal(f"{path}:{number}: an empty label; {_LINE}")
    if not text:
        raise Refusal(f"{path}:{number}: an empty text for label {label!r}; {_LINE}")
    return number, label, text


def _split(rows: list[tuple[int, str, str]]) -> list[list[tuple[int, str, str]]]:
    """Splits the lines of a single file into train, validation and test."""
    positions = np.arange(len(rows), dtype=np.uint32)
    places = order(_SPLIT_SEED, 0, positions, len(rows))
    num_test, num_validation = round(len(rows) / 5), round(len(rows) / 10)
    test, validation, train = np.split(places, [num_test, num_test + num_validation])
    return [[rows[k] for k in part] for part in (train, validation, test)]


def _classes(path: Path, rows: list[tuple[int, str, str]]) -> tuple[str, ...]:
    names = sorted({label for _, label, _ in rows})
    if len(names) < 2:
        raise Refusal(f"{path}: one label, {names[0]!r}; expected at least two")
    return tuple(names)


def _part(
    path: Path, rows: list[tuple[int, str, str]], numbers: dict[str, int]
) -> Part:
    for line, label, _ in rows:
        if label not in numbers:
            known = ", ".join(sorted(numbers)[:5])
            raise Refusal(
                f"{path}:{line}: label {label!r} is not among the {len(numbers)} of the"
                f" train split: {known}{', ...' if len(numbers) > 5 else ''}"
            )
    labels = np.asarray([numbers[label] for _, label, _ in rows], np.int32)
    return Part([text for _, _, text in rows], labels)


def _digest(*contents: bytes) -> str:
    parts = (hashlib.sha256(content).hexdigest() for content in contents)
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
