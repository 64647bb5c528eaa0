"""Converts a flax module to two pure functions of a dictionary of parameters."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gradjax.types import Key, Model, Params


def from_module(module: nn.Module, input_shape: tuple[int, ...]) -> Model:
    """Converts a module to a Model whose parameters are the "params" collection.

    Args:
      module: a module without state; the key of `apply` is its "dropout" stream.
      input_shape: shape of one example.
    """

    def init(key: Key) -> Params:
        return module.init(key, jnp.zeros((1, *input_shape)))["params"]

    def apply(params: Params, inputs: jax.Array, key: Key | None = None) -> Any:
        rngs = None if key is None else {"dropout": key}
        return module.apply({"params": params}, inputs, rngs=rngs)

    return Model(init, apply)
