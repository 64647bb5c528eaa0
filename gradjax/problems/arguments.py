"""What a problem's argument may be: refused where it enters, in one line."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from gradjax.errors import Refusal


def whole(name: str, value: Any, low: int, high: int) -> int:
    """The value, a whole number in [low, high].

    Raises:
        Refusal: it is none; the line gives the value and the range.
    """
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or not low <= value <= high:
        raise Refusal(f"{name}={value!r}: expected a whole number from {low} to {high}")
    return int(value)


def number(name: str, value: Any, low: float, high: float) -> float:
    """The value, a number in [low, high].

    Raises:
        Refusal: it is none; the line gives the value and the range.
    """
    if not _is_number(value) or not low <= value <= high:
        raise Refusal(f"{name}={value!r}: expected a number from {low:g} to {high:g}")
    return float(value)


def point(name: str, value: Any) -> tuple[float, float]:
    """The value, two finite numbers.

    Raises:
        Refusal: it is anything else.
    """
    is_pair = isinstance(value, tuple | list | np.ndarray) and len(value) == 2
    if not is_pair or not all(_is_number(x) and math.isfinite(x) for x in value):
        raise Refusal(f"{name}={value!r}: expected two numbers, such as (1.0, -2.0)")
    return float(value[0]), float(value[1])


def choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """The value, one of a few words.

    Raises:
        Refusal: it is none of them; the line lists them.
    """
    words = tuple(choices)
    if value not in words:
        raise Refusal(f"{name}={value!r}: expected {' or '.join(map(repr, words))}")
    return value


def truth(name: str, value: Any) -> bool:
    """The value, True or False.

    Raises:
        Refusal: it is neither.
    """
    if not isinstance(value, bool):
        raise Refusal(f"{name}={value!r}: expected True or False")
    return value


def _is_number(value: Any) -> bool:
    is_scalar = isinstance(value, int | float | np.integer | np.floating)
    return is_scalar and not isinstance(value, bool)
