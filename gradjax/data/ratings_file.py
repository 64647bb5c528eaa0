"""Reads a file of ratings of the user; a wrong line is refused with its number."""

import math
from pathlib import Path

import numpy as np

from gradjax.data import columns
from gradjax.data import rows as row_files
from gradjax.data.cache import Arrays
from gradjax.data.columns import Column
from gradjax.data.rows import Rows
from gradjax.errors import Refusal
from gradjax.files import sha256

# Column -> its names in a header without spaces and underscores, in lower case: those
# of gradjax and of MovieLens first.
NAMES = {
    "user": ("user", "userid"),
    "item": ("item", "itemid", "movieid", "movie", "productid", "product", "asin"),
    "rating": ("rating", "userrating", "stars", "score", "overall"),
    "time": ("time", "timestamp", "unixreviewtime"),
    "title": ("title", "movietitle"),
    "genres": ("genres", "moviegenres"),
}
_NEEDED = ("user", "item", "rating")
_ORDER = (*_NEEDED, "time")  # of the columns of a file without a header


def read(path: Path) -> tuple[Arrays, str, str]:
    """Reads the columns of a file of ratings.

    Args:
      path: a file that `rows.read` reads. Without a header its columns are user, item
        and rating, or user, item, rating and time, as in MovieLens's u.data.

    Returns:
      "user" and "item" str[ratings], "title" and "genres" object[ratings] (strings, ""
      if the file has no such column), "rating" f32[ratings] and, if the file has times,
      "time" f64[ratings], in the order of the lines; the sha256 of the file; and one
      line that says what was understood.

    Raises:
      Refusal: the file is missing, empty or not UTF-8, a column is missing, a line has
        a wrong number of fields, a name is empty, or a number is not one. The message
        has the file and the line.
    """
    known = {name for names in NAMES.values() for name in names}
    rows = row_files.read(path, known)
    found = _columns(rows)
    values = {
        name: [row[column.place] for row in rows.fields]
        for name, column in found.items()
    }
    for name in ("user", "item"):
        for line, value in zip(rows.lines, values[name], strict=True):
            if not value.strip():
                raise Refusal(f"{path}:{line}: an empty {name}")
    empty = [""] * len(rows.lines)
    arrays = {
        "user": np.array([name.strip() for name in values["user"]]),
        "item": np.array([name.strip() for name in values["item"]]),
        "rating": _numbers(rows, "rating", values["rating"], np.float32),
        # Objects, because one long title would widen all strings of a string array.
        "title": np.array(values.get("title", empty), object),
        "genres": np.array(values.get("genres", empty), object),
    }
    if "time" in values:
        arrays["time"] = _numbers(rows, "time", values["time"], np.float64)
    said = [f"{name} in {column.shown}" for name, column in found.items()]
    said += [] if "time" in found else ["no time"]
    counts = [f"{len(rows.lines):,} ratings"]
    return arrays, sha256(path), columns.described(rows, said, counts)


def _columns(rows: Rows) -> dict[str, Column]:
    """Returns the columns of a file by their meaning."""
    if rows.header is None:
        if rows.num_columns not in (3, 4):
            raise Refusal(
                f"{rows.path}: {rows.num_columns} columns without a header; expected"
                f" {', '.join(_ORDER)} (time may be missing), or a header with these"
                " names"
            )
        return {
            name: columns.nth(rows, place)
            for place, name in enumerate(_ORDER[: rows.num_columns])
        }
    found = {}
    for name, names in NAMES.items():
        _check_once(rows, name, names)
        column = columns.choose(rows, name, None, names)
        if column is not None:
            found[name] = column
        elif name in _NEEDED:
            shown = ", ".join(rows.header)[:80]
            expected = f"expected one of {', '.join(names)}"
            raise Refusal(f"{rows.path}:1: no column {name} in {shown}; {expected}")
    return found


def _check_once(rows: Rows, column: str, names: tuple[str, ...]) -> None:
    """Refuses a header in which two columns could have the same meaning."""
    found = [name for name in rows.header or () if row_files.normal(name) in names]
    if len(found) > 1:
        shown = found[0], found[1]
        raise Refusal(f"{rows.path}:1: two columns for {column}: {shown}")


def _numbers(rows: Rows, column: str, texts: list[str], dtype: type) -> np.ndarray:
    """Converts texts to finite numbers; the first that is not one is refused."""
    largest = float(np.finfo(dtype).max)
    values = []
    for text, line in zip(texts, rows.lines, strict=True):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not abs(value) <= largest:
            shown = repr(text[:40])
            expected = "expected a finite number"
            raise Refusal(f"{rows.path}:{line}: {column} {shown}; {expected}")
        values.append(value)
    return np.array(values, dtype)
