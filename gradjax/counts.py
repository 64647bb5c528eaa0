"""Whole numbers of Python, numpy and jax as counts."""

import operator
from typing import Any


def as_whole(value: Any) -> int | None:
    """Returns a whole number as an `int`; None if the value is anything else.

    Args:
      value: an `int`, a numpy integer, or an array i[] without axes. Booleans and
        floats such as 100.0 are not whole numbers.
    """
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:  # also of a traced value
        return None
