"""Checks what a stored model is asked to predict, in one line for each mistake."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.errors import Refusal


def examples(what: str, given: Any, shape: Sequence[int]) -> Any:
    """Returns an array of examples of this shape, [batch, *shape].

    A single example without the axis of the batch is refused, because a batch of one
    could be meant, or an example of another shape.

    Args:
      what: the examples, such as "images".
      given: an array of numpy or jax, or a list of numbers or of arrays.
      shape: that of one example.

    Raises:
        Refusal: `given` is not an array of numbers of this shape; the line has the
            shape that is expected and the one that was found.
    """
    expected = f"predict takes {what} [{', '.join(['batch', *map(str, shape)])}]"
    values = given if isinstance(given, jax.Array) else _as_array(expected, given)
    if not (jnp.issubdtype(values.dtype, jnp.number) or values.dtype == np.bool_):
        raise Refusal(f"{expected}; found {_kind(given, values)}")
    if jnp.issubdtype(values.dtype, jnp.complexfloating):
        raise Refusal(f"{expected}; found complex numbers")
    found = tuple(values.shape)
    if found[1:] == tuple(shape) and found:
        return values
    hint = ""
    if found == tuple(shape):
        hint = "; for one example give a batch of one, x[None]"
    elif (*found[1:], 1) == tuple(shape):
        hint = "; give the last axis, x[..., None]"
    raise Refusal(f"{expected}; found {list(found)}{hint}")


def _as_array(expected: str, given: Any) -> np.ndarray:
    is_array = hasattr(given, "shape") and hasattr(given, "dtype")
    if not is_array and not isinstance(given, list | tuple | int | float):
        raise Refusal(f"{expected}; found {_kind(given, None)}")
    try:
        return np.asarray(given)
    except ValueError as error:  # a list of arrays that differ in their shapes
        raise Refusal(f"{expected}; found a list of different shapes") from error


def _kind(given: Any, values: Any) -> str:
    """Names the type of what was given, and of its values if it is an array."""
    if isinstance(given, str) or (values is not None and values.dtype.kind in "US"):
        return "text"
    if values is None:
        return f"a value of type {type(given).__name__}"
    return f"values of type {values.dtype}"
