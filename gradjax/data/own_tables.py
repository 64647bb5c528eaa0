"""Reads a table of the user for regression or classification: rows, or an .npz file.

Every rule is stated in `read`, and what was understood of a file is said in one line.
"""

import hashlib
import io
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.data import columns, content
from gradjax.data import rows as row_files
from gradjax.data.columns import Column
from gradjax.data.order import order
from gradjax.data.rows import Rows
from gradjax.errors import Refusal

TASKS = ("classification", "regression")
_LABELS = ("label", "target", "y", "class")
_MISSING = ("", "na", "nan", "n/a", "null", "none", "?")
_FEWEST = 10  # examples, so that none of the three splits is empty
_MOST_VALUES = 100  # of a categorical column; with more it is a text or an identifier
_MOST_CLASSES = 20  # of whole numbers; with more they are quantities
_MOST_NUMBERS = 2**24  # in an .npz file, because each is read as a field of a row
_SPLIT_SEED = 0  # fixed, because every run must be evaluated on the same examples


class Feature(NamedTuple):
    """A column of inputs, and how its values become numbers."""

    name: str
    mean: float = 0.0  # of the train split, and in place of a missing value
    scale: float = 1.0  # the standard deviation of the train split
    values: tuple[str, ...] = ()  # of a categorical column, in the train split


class Table(NamedTuple):
    """A table with a fixed split, as numbers."""

    name: str
    parts: dict[str, dict[str, np.ndarray]]  # split -> "x" f64[n, inputs], "y" [n]
    features: tuple[Feature, ...]
    class_names: tuple[str, ...]  # () for regression
    target: Feature  # of regression: the mean and the scale of y in the train split
    fingerprint: str
    origin: str
    understood: str


def read(name: str, label: str | None = None, task: str | None = None) -> Table:
    """Reads a table: CSV, TSV or JSON lines (see `rows.read`), or an .npz with x and y.

    - Label: the column that is given by its name or its number from 1; otherwise one
      that is named label, target, y or class; otherwise the last one. It has no missing
      values.
    - Task: regression if the labels are numbers with a fraction or with more than 20
      different values, otherwise classification.
    - A column of numbers is standardised by the mean and the standard deviation of the
      train split. A missing number is replaced by this mean. Missing are empty fields,
      NA, NaN, null, None and ?.
    - Any other column is categorical, with at most 100 different values: it has one
      input, 0 or 1, for each value of the train split. A missing value is a value of
      its own, and a value that the train split does not have gives zeros.
    - Split: a fifth for test, a tenth for validation, the rest for training.

    Args:
      name: the path of the file.
      label: the column of the labels; None: see above.
      task: "classification" or "regression"; None: see above.

    Raises:
      Refusal: the file cannot be read, a column or a value is wrong (also an infinite
        number among the numbers of a column), there are fewer than ten rows, or two
        columns have one name. The message has the file and the line number.
    """
    if task is not None and task not in TASKS:
        raise Refusal(f"--task={task}: expected {' or '.join(TASKS)}")
    path = Path(os.path.expanduser(name))
    raw = content.read(path)
    rows = _of_npz(path, raw) if path.suffix == ".npz" else _of_rows(path, raw)
    _check_names(rows)
    target = _label(rows, label)
    if len(rows.fields) < _FEWEST:
        count = len(rows.fields)
        raise Refusal(f"{path}: {count} rows; expected at least {_FEWEST}")
    parts = _split(len(rows.fields))
    y, class_names, made = _target(rows, target, task, parts["train"])
    features, blocks = [], []
    for place in range(rows.num_columns):
        if place != target.place:
            feature = _feature(rows, place, parts["train"])
            features.append(feature)
            blocks.append(encode(feature, [row[place] for row in rows.fields]))
    if not blocks:
        raise Refusal(f"{path}: one column, the label; expected columns beside it")
    x = np.concatenate(blocks, axis=1)
    num_categorical = sum(bool(one.values) for one in features)
    what = f"{len(class_names)} classes" if class_names else "regression"
    said = [f"label in {target.shown}", f"{len(features)} other columns"]
    said += [f"{num_categorical} of them categorical"] if num_categorical else []
    missing = sum(_is_missing(v) for row in rows.fields for v in row)
    said += [f"{missing} missing values"] if missing else []
    return Table(
        path.name,
        {split: {"x": x[k], "y": y[k]} for split, k in parts.items()},
        tuple(features),
        class_names,
        made,
        hashlib.sha256(raw).hexdigest(),
        str(path),
        columns.described(rows, said, [f"{len(rows.fields):,} rows", what]),
    )


def encode(feature: Feature, values: list[Any]) -> np.ndarray:
    """Converts values of a column to inputs of the network: f64[values, inputs].

    Raises:
      Refusal: a value of a column of numbers is not a number.
    """
    said = [str(value).strip() for value in values]
    if feature.values:
        known = {value: place for place, value in enumerate(feature.values)}
        found = np.zeros((len(said), len(known)))
        for row, value in enumerate(said):
            if (value := _category(value)) in known:
                found[row, known[value]] = 1.0
        return found
    numbers = [feature.mean if _is_missing(one) else _number(one) for one in said]
    for value, number in zip(said, numbers, strict=True):
        if not math.isfinite(number):
            expected = "expected a finite number"
            raise Refusal(f"column {feature.name!r}: {value[:40]!r}; {expected}")
    return (np.array(numbers)[:, None] - feature.mean) / feature.scale


def _of_rows(path: Path, raw: bytes) -> Rows:
    """Reads rows; without a known name, a first row without numbers is a header."""
    rows = row_files.read(path, _LABELS, raw)
    if rows.header is None and len(rows.fields) > 1:
        first, *others = rows.fields
        for place, name in enumerate(first):
            below = [row[place] for row in others if not _is_missing(row[place])]
            if below and all(map(_is_number, below)) and not _is_number(name):
                return row_files.with_first_as_header(rows)
    return rows


def _of_npz(path: Path, raw: bytes) -> Rows:
    """Reads x [examples, ...] and y [examples]; x is flattened to columns."""
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("x", "y") if name in arrays}
            names = ", ".join(arrays) or "none"
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())[:100]
        raise Refusal(f"{path}: damaged ({reason}); expected an .npz file") from error
    if len(found) < 2:
        raise Refusal(f"{path}: arrays {names}; expected x [examples, ...] and y")
    x, y = found["x"], found["y"]
    if x.ndim < 2 or y.shape not in ((len(x),), (len(x), 1)) or not len(x):
        shapes = f"x {list(x.shape)} and y {list(y.shape)}"
        raise Refusal(f"{path}: {shapes}; expected x [examples, ...] and y [examples]")
    if x.size > _MOST_NUMBERS:
        expected = f"expected at most {_MOST_NUMBERS:,}; gradjax.problem takes more"
        raise Refusal(f"{path}: x has {x.size:,} numbers; {expected}")
    flat = x.reshape(len(x), -1)
    header = (*(f"x{place}" for place in range(flat.shape[1])), "y")
    both = zip(flat.tolist(), y.ravel().tolist(), strict=True)
    fields = [[*map(str, row), str(value)] for row, value in both]
    lines = list(range(1, len(fields) + 1))
    return Rows(path, "NumPy arrays", header, fields, lines, len(header), 0)


def _check_names(rows: Rows) -> None:
    """Refuses two columns of one name, because `predict` takes rows by names."""
    names = rows.header or ()
    for name in names:
        if (count := names.count(name)) > 1:
            raise Refusal(f"{rows.path}:1: {count} columns have the name {name!r}")


def _label(rows: Rows, label: str | None) -> Column:
    found = columns.choose(rows, "label", label, _LABELS)
    return columns.nth(rows, rows.num_columns - 1) if found is None else found


def _target(
    rows: Rows, column: Column, task: str | None, train: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...], Feature]:
    """Returns y, the names of the classes, and the scale of a regression."""
    said = [row[column.place].strip() for row in rows.fields]
    for line, value in zip(rows.lines, said, strict=True):
        if _is_missing(value):
            raise Refusal(f"{rows.path}:{line}: no label in {column.shown}")
    _check_finite(rows, column)
    are_numbers = all(map(_is_number, said))
    if task is None:
        are_whole = are_numbers and all(_number(one).is_integer() for one in said)
        is_few = len(set(said)) <= _MOST_CLASSES
        is_regression = are_numbers and not (are_whole and is_few)
        task = "regression" if is_regression else "classification"
    if task == "regression":
        for line, value in zip(rows.lines, said, strict=True):
            if not _is_number(value):
                shown = f"{rows.path}:{line}: label {value[:40]!r}"
                raise Refusal(f"{shown}; expected a number for regression")
        y = np.array([_number(one) for one in said])
        scaled = _scaled("y", y[train])
        return (y - scaled.mean) / scaled.scale, (), scaled
    names = sorted(set(said), key=lambda one: (_number(one), one))
    if are_numbers:
        names = sorted(set(said), key=_number)
    if len(names) < 2:
        raise Refusal(f"{rows.path}: one label, {names[0]!r}; expected at least two")
    numbers = {name: number for number, name in enumerate(names)}
    y = np.array([numbers[one] for one in said], np.int32)
    return y, tuple(names), Feature("y")


def _feature(rows: Rows, place: int, train: np.ndarray) -> Feature:
    """Returns how the values of a column become numbers, by the train split alone."""
    name = f"{place + 1}" if rows.header is None else rows.header[place]
    said = [row[place].strip() for row in rows.fields]
    there = [one for one in said if not _is_missing(one)]
    _check_finite(rows, columns.nth(rows, place))
    if there and all(map(_is_number, there)):
        known = [_number(said[k]) for k in train if not _is_missing(said[k])]
        return _scaled(name, np.array(known or [0.0]))
    values = tuple(sorted({_category(said[k]) for k in train}))
    if len(values) > _MOST_VALUES:
        raise Refusal(
            f"{rows.path}: column {name!r} has {len(values)} different values that are"
            f" not all numbers; expected at most {_MOST_VALUES}, so remove a column of"
            " texts or identifiers"
        )
    return Feature(name, values=values)


def _check_finite(rows: Rows, column: Column) -> None:
    """Refuses an infinite value in a column whose other values are numbers."""
    said = [row[column.place].strip() for row in rows.fields]
    there = [_number(one) for one in said if not _is_missing(one)]
    if any(map(math.isnan, there)) or all(map(math.isinf, there)):
        return  # a categorical column
    for line, value in zip(rows.lines, said, strict=True):
        if math.isinf(_number(value)):
            where = f"{rows.path}:{line}: {column.shown}"
            raise Refusal(f"{where} has {value[:40]!r}; expected a finite number")


def _scaled(name: str, values: np.ndarray) -> Feature:
    deviation = float(values.std())
    return Feature(name, float(values.mean()), deviation if deviation > 0 else 1.0)


def _split(count: int) -> dict[str, np.ndarray]:
    places = order(_SPLIT_SEED, 0, np.arange(count, dtype=np.uint32), count)
    num_test, num_validation = round(count / 5), round(count / 10)
    test, validation, train = np.split(places, [num_test, num_test + num_validation])
    return {"train": train, "validation": validation, "test": test}


def _is_missing(value: str) -> bool:
    return value.strip().lower() in _MISSING


def _category(value: str) -> str:
    return "" if _is_missing(value) else value


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return math.nan


def _is_number(value: str) -> bool:
    return math.isfinite(_number(value))
