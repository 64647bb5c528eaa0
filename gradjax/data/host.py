"""Reads examples of a streamed source on the host, and checks what was read."""

import textwrap
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.errors import Refusal
from gradjax.own_code import named_errors
from gradjax.types import Source


def read(source: Source, indices: np.ndarray) -> Any:
    """Reads examples, and returns them in the types that they have on a device.

    Args:
      source: a streamed source.
      indices: u32[n].

    Raises:
      Refusal: `source.read` fails, or the examples differ in type or shape from the
        first example, or a value is not a finite number in this type.
    """
    assert source.read is not None
    with named_errors("the stream: read(indices) fails"):
        found = source.read(indices)
    expected, given = jax.tree.structure(source.arrays), jax.tree.structure(found)
    if expected != given:
        shown = textwrap.shorten(str(given), 200)
        raise Refusal(f"the stream: read gives {shown}; expected {expected}")
    leaves = jax.tree.leaves_with_path(source.arrays)
    checked = [
        _in_type(jax.tree_util.keystr(path) or "the array", sample, values, indices)
        for (path, sample), values in zip(leaves, jax.tree.leaves(found), strict=True)
    ]
    return jax.tree.unflatten(expected, checked)


def _in_type(name: str, sample: Any, given: Any, indices: np.ndarray) -> np.ndarray:
    """Returns values in the type of the first example, or refuses them."""
    with named_errors(f"the stream: {name} is no array"):
        values = np.asarray(given)
    expected = (len(indices), *sample.shape[1:])
    if values.shape != expected:
        raise Refusal(
            f"the stream: {name} has shape {values.shape} for {len(indices)} indices;"
            f" expected {expected}"
        )
    if _kind(values.dtype) > _kind(sample.dtype):
        raise Refusal(
            f"the stream: {name} has type {values.dtype}; expected {sample.dtype}, as"
            " the first example has it"
        )
    with np.errstate(over="ignore"):  # an overflow is refused below, with its value
        narrow = values.astype(sample.dtype, copy=False)
    if jnp.issubdtype(sample.dtype, jnp.inexact):
        is_bad = ~np.isfinite(narrow)
    elif values.dtype == sample.dtype:
        return values
    else:
        is_bad = narrow != values
    if is_bad.any():
        first, *rest = (int(i) for i in np.argwhere(is_bad)[0])
        place = f"{name}{rest or ''} of example {indices[first]}"
        raise Refusal(
            f"the stream: {place} is {values[(first, *rest)]}; expected finite values"
            f" of type {sample.dtype}"
        )
    return narrow


def _kind(dtype: Any) -> int:
    """Returns the place of a type among those of which each contains the former."""
    kinds = np.bool_, jnp.integer, jnp.floating, jnp.complexfloating
    found = (k for k, kind in enumerate(kinds) if jnp.issubdtype(dtype, kind))
    return next(found, len(kinds))
