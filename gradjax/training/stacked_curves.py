"""The curves of a diagnostic in one array, so that one operation writes a measurement.

A diagnostic may have dozens of curves, and in a compiled program each operation takes
about a microsecond, however small it is.
"""

from typing import Any

import jax
import jax.numpy as jnp

Curves = dict[str, jax.Array]  # curve -> f32[...] or f64[...]
Stacked = dict[str, jax.Array]  # dtype -> [..., curves of this dtype]


def nan(shapes: dict[str, Any], num_slots: int) -> Stacked:
    """Returns room for so many measurements of curves with the given dtypes."""
    return {
        dtype: jnp.full((num_slots, len(names)), jnp.nan, dtype)
        for dtype, names in _names(shapes).items()
    }


def stack(curves: Curves) -> Stacked:
    """Stacks the values of curves of equal shapes along a new last axis."""
    return {
        dtype: jnp.stack([curves[name] for name in names], axis=-1)
        for dtype, names in _names(curves).items()
    }


def unstack(shapes: dict[str, Any], stacked: Stacked) -> Curves:
    """Returns the curves that `stack` stacked; `shapes` has their names and dtypes."""
    found = {
        name: stacked[dtype][..., k]
        for dtype, names in _names(shapes).items()
        for k, name in enumerate(names)
    }
    return {name: found[name] for name in shapes}


def _names(curves: dict[str, Any]) -> dict[str, list[str]]:
    """Returns the names of the curves of each dtype, in an order of their own.

    A transformation of jax may sort a dictionary, so its order says nothing.
    """
    found: dict[str, list[str]] = {}
    for name, values in sorted(curves.items()):
        found.setdefault(str(values.dtype), []).append(name)
    return found
