"""Reads a CSV file of ratings; a wrong line is refused with its number."""

import csv
import io
import math
from pathlib import Path

import numpy as np

from gradjax.data.cache import Arrays
from gradjax.errors import Refusal
from gradjax.files import sha256

# Column -> its names in a header, in lower case: those of gradjax and of MovieLens.
NAMES = {
    "user": ("user", "userid", "user_id"),
    "item": ("item", "itemid", "item_id", "movieid", "movie_id"),
    "rating": ("rating", "user_rating"),
    "time": ("time", "timestamp"),
    "title": ("title", "movie_title"),
    "genres": ("genres", "movie_genres"),
}
_OPTIONAL = ("title", "genres")


def read(path: Path) -> tuple[Arrays, str]:
    """Reads the columns of a CSV file whose first line has their names.

    Args:
      path: a file in UTF-8; a field that contains a comma is quoted.

    Returns:
      "user" and "item" str[ratings], "title" and "genres" object[ratings] (strings, ""
      if the file has no such column), "rating" f32[ratings] and "time" f64[ratings], in
      the order of the lines; and the sha256 of the file.

    Raises:
      Refusal: the file is missing, empty or not UTF-8, a column is missing, a line has
        a wrong number of fields, a name is empty, or a number is not one. The message
        has the file and the line.
    """
    try:
        fingerprint = sha256(path)
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise Refusal(f"{path}, line {line}: not UTF-8 ({error.reason})") from error
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror or error}") from error
    return _columns(path, text), fingerprint


def _columns(path: Path, text: str) -> Arrays:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: dict[str, list[str]] = {name: [] for name in NAMES}
    lines: list[int] = []
    try:
        header = next(reader, [])
        places = _places(path, header)
        for row in reader:
            if not row:
                continue  # a blank line
            _check_row(path, reader.line_num, row, header, places)
            lines.append(reader.line_num)
            for name, values in columns.items():
                values.append(row[places[name]] if name in places else "")
    except csv.Error as error:
        raise Refusal(f"{path}, line {reader.line_num}: {error}") from error
    if not lines:
        raise Refusal(f"{path}: no rating below its header")
    return {
        "user": np.array(columns["user"]),
        "item": np.array(columns["item"]),
        "rating": _numbers(path, "rating", columns["rating"], lines, np.float32),
        "time": _numbers(path, "time", columns["time"], lines, np.float64),
        # Objects, because one long title would widen all strings of a string array.
        "title": np.array(columns["title"], object),
        "genres": np.array(columns["genres"], object),
    }


def _places(path: Path, header: list[str]) -> dict[str, int]:
    """Returns column -> index of its field in a line."""
    if not header:
        raise Refusal(f"{path}: empty; expected a first line user,item,rating,time")
    said = [name.strip().lower() for name in header]
    places = {}
    for column, names in NAMES.items():
        found = [place for place, name in enumerate(said) if name in names]
        if len(found) > 1:
            shown = header[found[0]], header[found[1]]
            raise Refusal(f"{path}, line 1: two columns for {column}: {shown}")
        if found:
            places[column] = found[0]
        elif column not in _OPTIONAL:
            shown = ", ".join(header)[:80]
            expected = f"expected one of {', '.join(names)}"
            raise Refusal(f"{path}, line 1: no column {column} in {shown}; {expected}")
    return places


def _check_row(
    path: Path, line: int, row: list[str], header: list[str], places: dict[str, int]
) -> None:
    if len(row) != len(header):
        raise Refusal(
            f"{path}, line {line}: {len(row)} fields; expected {len(header)}, as in"
            " the header (quote a title that holds a comma)"
        )
    for name in ("user", "item"):
        if not row[places[name]].strip():
            raise Refusal(f"{path}, line {line}: an empty {name}")


def _numbers(
    path: Path, column: str, texts: list[str], lines: list[int], dtype: type
) -> np.ndarray:
    """Converts texts to finite numbers; the first that is not one is refused."""
    largest = float(np.finfo(dtype).max)
    values = []
    for text, line in zip(texts, lines, strict=True):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not abs(value) <= largest:
            shown = repr(text[:40])
            expected = "expected a finite number"
            raise Refusal(f"{path}, line {line}: {column} {shown}; {expected}")
        values.append(value)
    return np.array(values, dtype)
