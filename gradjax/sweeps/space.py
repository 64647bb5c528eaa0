"""Reads the space of a sweep from flags or from a tuning space of AlgoPerf."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.optimizers.bounds import float_type
from gradjax.search.unit_cube import MAX_POINTS
from gradjax.types import Call, Dimension, Space

RANGES = ("log", "linear", "int")
_PROPERTIES = ("feasible_points", "min", "max", "scaling")
MAX_BYTES = 1_000_000  # of a JSON file
_NAME = re.compile(r"[A-Za-z_]\w{0,99}(\.\w{1,100}){0,9}", re.ASCII)
_FORMS = "log(low, high), linear(low, high), int(low, high) or a list [a, b, c]"


def parse(assignments: Sequence[str]) -> Space:
    """Reads assignments such as `learning_rate=log(1e-4, 1)`, one hyperparameter each.

        log(low, high[, n])     evenly spaced in the logarithm, with both ends
        linear(low, high[, n])  evenly spaced, with both ends
        int(low, high[, n])     whole numbers
        [a, b, c]               numbers, words, True, False, None, or expressions

    n is the number of points of a grid; no other search reads it. An expression, quoted
    or not, is stored as the text of `expressions.unparse`, and so is a tuple.

    Args:
      assignments: `name=range` or `name=list`, in the order of the space.

    Returns:
      Space; it has no dimensions if there is no assignment.

    Raises:
        Refusal: an assignment that cannot be read; a name that is given twice; low >=
            high; a log range that is not above 0; bounds of int that are not whole; n
            that is not positive, or that exceeds the number of whole numbers or the
            size of the largest grid; a list that is empty or has duplicates; a number
            that a float32 cannot represent.
    """
    return _space([_assignment(text) for text in assignments])


def from_json(path: str | Path) -> Space:
    """Reads a tuning space in AlgoPerf's schema, unchanged.

        {"learning_rate": {"min": 1e-4, "max": 1e-2, "scaling": "log"},
         "beta1": {"feasible_points": [0.9, 0.95]}}

    The names are kept as the file has them.

    Raises:
        Refusal: what `parse` refuses; a missing file, no JSON, or another schema.

    Source:
      Dahl et al., "Benchmarking Neural Network Training Algorithms", 2023.
    """
    found = _read_json(Path(path))
    if isinstance(found, list):
        raise Refusal(f"{path}: a list of points; a space is an object of ranges")
    if not isinstance(found, dict):
        raise Refusal(f"{path}: expected an object of hyperparameters")
    try:
        return _space([_property(name, value) for name, value in found.items()])
    except Refusal as error:
        raise Refusal(f"{path}: {error}") from None


def from_mapping(values: Mapping[str, Any]) -> Space:
    """Reads {"learning_rate": "log(1e-4, 1)", "sgd.momentum": [0.9, 0.99]}.

    Raises:
        Refusal: what `parse` refuses.
    """
    return _space([_given(str(name), value) for name, value in values.items()])


def _given(name: str, value: Any) -> Dimension:
    if isinstance(value, str):
        return _assignment(f"{name}={value}")
    if isinstance(value, np.ndarray | jax.Array):
        value = value.tolist()
    if not isinstance(value, list | tuple | range):
        raise Refusal(f"{name}={_short(value)}: expected a list, or {_FORMS} as text")
    kept = [one.item() if isinstance(one, np.generic) else one for one in value]
    known = (str, int, float, Call, tuple, type(None))
    if wrong := [one for one in kept if not isinstance(one, known)]:
        raise Refusal(f"{name}: {_short(wrong[0])} is neither a number nor a word")
    return _choice(_checked_name(name), kept)


def _space(dimensions: list[Dimension]) -> Space:
    times = Counter(dimension.name for dimension in dimensions)
    for name, count in times.items():
        if count > 1:
            raise Refusal(f"{name} is given {count} times")
    return Space(tuple(dimensions))


def _assignment(text: str) -> Dimension:
    """Reads the dimension of one `name=range`."""
    name, equals, right = text.partition("=")
    name = _checked_name(name.strip())
    if not equals or not right.strip():
        raise Refusal(f"{name}: nothing to vary it over; expected {name}={_FORMS}")
    try:
        # Wrapped in a call, because the outermost form of the grammar is a call.
        wrapped = expressions.parse(f"choice({right})")
    except Refusal as error:
        raise Refusal(f"{name}: {error}") from None
    if wrapped.name != "choice" or wrapped.kwargs or len(wrapped.args) != 1:
        raise Refusal(f"{name}={_short(right.strip())}: expected {_FORMS}")
    value = wrapped.args[0]
    if isinstance(value, Call):
        return _dimension_of_call(name, value)
    if isinstance(value, tuple):
        return _choice(name, value)
    raise Refusal(f"{name}={_short(right.strip())}: expected {_FORMS}")


def _dimension_of_call(name: str, call: Call) -> Dimension:
    """Reads the dimension of a range such as `log(low, high[, n])`."""
    if call.name not in RANGES:
        raise Refusal(f"{name}: {expressions.unknown(call.name, RANGES, 'range')}")
    given = dict(zip(("low", "high", "n"), call.args, strict=False))
    named = dict(call.kwargs)
    is_twice = bool(given.keys() & named.keys()) or len(call.args) > 3
    if is_twice or not {"low", "high"} <= {*given, *named} <= {"low", "high", "n"}:
        form = f"{call.name}(low, high) or {call.name}(low, high, n)"
        raise Refusal(f"{name}={_short(expressions.unparse(call))}: expected {form}")
    return _range(name, call.name, **given, **named)


def _property(name: str, value: Any) -> Dimension:
    """Reads the dimension of one entry of an AlgoPerf space."""
    name = _checked_name(name)
    if not isinstance(value, dict):
        raise Refusal(
            f"{name}: expected an object with feasible_points, or with min, max and"
            " scaling"
        )
    for key in value:
        if key not in _PROPERTIES:
            raise Refusal(
                f"{name}: {expressions.unknown(key, _PROPERTIES, 'property')}"
            )
    if set(value) == {"feasible_points"}:
        points = value["feasible_points"]
        if not isinstance(points, list):
            raise Refusal(f"{name}: feasible_points={_short(points)}: expected a list")
        return _choice(name, points)
    if set(value) != {"min", "max", "scaling"}:
        raise Refusal(
            f"{name} has {', '.join(value) or 'nothing'}; expected"
            " feasible_points alone, or min, max and scaling"
        )
    scaling = value["scaling"]
    if scaling not in ("log", "linear"):
        raise Refusal(f"{name}: scaling={_short(scaling)}: expected 'log' or 'linear'")
    return _range(name, scaling, value["min"], value["max"])


def _range(name: str, kind: str, low: Any, high: Any, n: Any = None) -> Dimension:
    """Checks a range and returns its dimension."""
    said = f"{name}={kind}({_short(low)}, {_short(high)})"
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise Refusal(f"{said}: {_short(bound)} is not a number")
        _check_finite(said, bound)
    tiny = float(jnp.finfo(float_type()).tiny)
    if kind == "log" and not min(low, high) >= tiny:
        least = f"; a {float_type()} holds {tiny:.3g} and more"
        above = "both ends of a log range must be above 0"
        raise Refusal(f"{said}: {above}{least if min(low, high) > 0 else ''}")
    if low > high:
        raise Refusal(f"{said}: low is above high")
    if low == high:
        raise Refusal(f"{said}: low is high; for one value, give the list [{low!r}]")
    if kind == "int":
        return _int_range(name, said, low, high, n)
    num = _checked_num(said, n, MAX_POINTS)
    return Dimension(name, kind, float(low), float(high), num=num)


def _int_range(name: str, said: str, low: Any, high: Any, n: Any) -> Dimension:
    """Checks a range of whole numbers and returns its dimension."""
    if low != int(low) or high != int(high):
        raise Refusal(f"{said}: both ends of an int range must be whole")
    if max(-low, high) > 2**53:
        raise Refusal(f"{said}: both ends of an int range must be within 2**53")
    low, high = int(low), int(high)
    num = _checked_num(said, n, min(high - low + 1, MAX_POINTS))
    return Dimension(name, "int", low, high, num=num)


def _checked_num(said: str, num: Any, limit: int) -> int | None:
    """Checks the number of points of a grid, which must be distinct."""
    if num is None:
        return None
    if isinstance(num, bool) or not isinstance(num, int) or num < 1:
        raise Refusal(f"{said}: n={num!r} must be a whole number, at least 1")
    if num > limit:
        raise Refusal(f"{said}: n={num:,} points; there are at most {limit:,}")
    return num


def _choice(name: str, values: Sequence[Any]) -> Dimension:
    """Checks a list and returns its dimension."""
    if not values:
        raise Refusal(f"{name}=[]: an empty list; give at least one value")
    kept = tuple(_literal(name, value) for value in values)
    # 1 and 1.0 are the same setting, and True is another one.
    times = Counter((isinstance(value, bool), value) for value in kept)
    for (_, value), count in times.items():
        if count > 1:
            raise Refusal(f"{name}: {_short(value)} is {count} times in the list")
    return Dimension(name, "choice", values=kept)


def _literal(name: str, value: Any) -> Any:
    """Returns a value of a list: a plain literal, or the text of an expression."""
    if isinstance(value, list | dict):
        raise Refusal(f"{name}: a list in a list; expected numbers and words")
    if isinstance(value, str):
        value = _canonical(value)
    elif isinstance(value, Call | tuple):
        value = expressions.unparse(value)
    elif not isinstance(value, bool) and value is not None:
        _check_finite(name, value)
    if isinstance(value, str) and value.lower() in ("nan", "inf", "infinity"):
        raise Refusal(f"{name}: {value} is not a finite number")
    return value


def _canonical(text: str) -> str:
    """Returns one text for all spellings of an expression; other words unchanged."""
    try:
        return expressions.unparse(expressions.parse(text))
    except Refusal:
        return text


def _check_finite(said: str, number: int | float) -> None:
    """Refuses a number that the type of a program's numbers cannot represent."""
    if not abs(number) <= float(jnp.finfo(float_type()).max):
        raise Refusal(f"{said}: {_short(number)} is not finite as a {float_type()}")


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise Refusal(
            f"{_short(name)} is no name for --sweep; expected one such as learning_rate"
            " or optimizer.b2"
        )
    return name


def _read_json(path: Path) -> Any:
    """Reads the value of a JSON file."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # a NUL in the path is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise Refusal(f"cannot read {str(path)!r}: {reason}") from None
    if len(content) > MAX_BYTES:
        raise Refusal(f"{path}: more than {MAX_BYTES:,} bytes; a space is smaller")
    try:
        return json.loads(content, object_pairs_hook=_object, parse_constant=_constant)
    except Refusal as error:
        raise Refusal(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path}: not JSON: {' '.join(str(error).split())}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns a JSON object as a dictionary; refuses a name that occurs twice."""
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise Refusal(f"{_short(name)} is given {count} times")
    return dict(pairs)


def _constant(text: str) -> None:
    raise Refusal(f"{text} is not a finite number")


def _short(value: Any) -> str:
    text = expressions.unparse(value) if isinstance(value, Call) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
