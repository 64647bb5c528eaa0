"""Which parameters a rule is for, by name: `adamw(mask='matrices')`.

A mask is a function of the parameters, of their shapes alone: params -> a tree of bool.
"""

from collections.abc import Callable
from typing import Any

import jax

ARGUMENTS = ("mask", "weight_decay_mask", "trust_ratio_mask")  # that take a mask


def matrices(params: Any) -> Any:
    """Weights: leaves with two axes or more, not biases and not gains."""
    return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)


def vectors(params: Any) -> Any:
    """All the others: leaves with one axis or none."""
    return jax.tree.map(lambda leaf: leaf.ndim < 2, params)


MASKS: dict[str, Callable[[Any], Any]] = {
    "matrices": matrices,
    "vectors": vectors,
}
