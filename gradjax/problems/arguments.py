"""Checks of the arguments of a problem; a wrong value is refused in one line."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from gradjax.errors import Refusal


def whole(name: str, value: Any, low: int, high: int) -> int:
    """Returns the value if it is a whole number in [low, high].

    Raises:
        Refusal: it is not; the line gives the value and the range.
    """
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or not low <= value <= high:
        raise Refusal(f"{name}={value!r}: expected a whole number from {low} to {high}")
    return int(value)


def number(name: str, value: Any, low: float, high: float) -> float:
    """Returns the value if it is a number in [low, high].

    Raises:
        Refusal: it is not; the line gives the value and the range.
    """
    if not _is_number(value) or not low <= value <= high:
        raise Refusal(f"{name}={value!r}: expected a number from {low:g} to {high:g}")
    return float(value)


def point(name: str, value: Any) -> tuple[float, float]:
    """Returns the value if it consists of two finite numbers.

    Raises:
        Refusal: it does not; the line gives the value.
    """
    is_pair = isinstance(value, tuple | list | np.ndarray) and len(value) == 2
    if not is_pair or not all(_is_number(x) and math.isfinite(x) for x in value):
        raise Refusal(f"{name}={value!r}: expected two numbers, such as (1.0, -2.0)")
    return float(value[0]), float(value[1])


def choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Returns the value if it is one of the choices.

    Raises:
        Refusal: it is not; the line lists the choices.
    """
    words = tuple(choices)
    if value not in words:
        raise Refusal(f"{name}={value!r}: expected {' or '.join(map(repr, words))}")
    return value


def truth(name: str, value: Any) -> bool:
    """Returns the value if it is True or False.

    Raises:
        Refusal: it is not; the line gives the value.
    """
    if not isinstance(value, bool):
        raise Refusal(f"{name}={value!r}: expected True or False")
    return value


def _is_number(value: Any) -> bool:
    is_scalar = isinstance(value, int | float | np.integer | np.floating)
    return is_scalar and not isinstance(value, bool)
