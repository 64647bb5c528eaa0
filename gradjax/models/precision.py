"""The precision in which a network computes: parameters stay float32.

In bfloat16 the parameters and the inputs are rounded to bfloat16 for each call of the
network, and its outputs are converted to float32, so that a loss is a float32 mean of
float32 values. Gradients reach the parameters in float32. Inside the network the
statistics of norms and the softmax of attention are computed in float32.

Source: Kalamkar et al. 2019, "A Study of BFLOAT16 for Deep Learning Training".
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

Made = TypeVar("Made")  # a Model, or another NamedTuple of functions

PRECISIONS = ("float32", "bfloat16")
HELP = (  # of the flag
    "the precision in which the network computes, float32 or bfloat16; parameters and"
    " the loss are float32"
)
# The fields of a model that compute (parameters, inputs, ...) -> outputs in training.
_COMPUTING = ("apply", "encode", "decode", "user", "item")


def in_precision(model: Made, precision: str) -> Made:
    """Returns a model that computes in a precision; in float32 it is the same model.

    Args:
      model: a NamedTuple of functions. Functions that only decode, as the beam search
        of a translation does, stay in float32.
      precision: a name in PRECISIONS.
    """
    if precision == "float32":
        return model
    dtype, fields = jnp.dtype(precision), set(model._fields)  # pyright: ignore
    lowered = {
        name: _lowered(getattr(model, name), dtype)
        for name in _COMPUTING
        if name in fields
    }
    return model._replace(**lowered)  # pyright: ignore


def _lowered(function: Callable[..., Any], dtype: Any) -> Callable[..., Any]:
    """Rounds parameters and inputs to a type; outputs are float32.

    A state of the network, such as the running means of BatchNorm, is not rounded.
    """

    def computed(params: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = function(_cast(params, dtype), _cast(inputs, dtype), *args, **kwargs)
        return _cast(outputs, jnp.float32, only=dtype)

    return computed


def _cast(tree: Any, dtype: Any, only: Any = None) -> Any:
    """Converts the leaves of floats, or those of the type `only`, to a type."""

    def cast(leaf: jax.Array) -> jax.Array:
        is_float = jnp.issubdtype(leaf.dtype, jnp.floating)
        is_meant = is_float and only in (None, leaf.dtype)
        return leaf.astype(dtype) if is_meant else leaf

    return jax.tree.map(cast, tree)
