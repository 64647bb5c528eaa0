"""Masks by name, which select parameters: `adamw(mask='matrices')`.

A mask is a function: params -> a pytree of bool. It depends only on shapes.
"""

from collections.abc import Callable
from typing import Any

import jax

# The names of the arguments that take a mask.
ARGUMENTS = ("mask", "weight_decay_mask", "trust_ratio_mask")


def matrices(params: Any) -> Any:
    """Selects weights: leaves with two or more axes, so no biases and no gains."""
    return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)


def vectors(params: Any) -> Any:
    """Selects biases, gains and scalars: leaves with at most one axis."""
    return jax.tree.map(lambda leaf: leaf.ndim < 2, params)


MASKS: dict[str, Callable[[Any], Any]] = {
    "matrices": matrices,
    "vectors": vectors,
}
