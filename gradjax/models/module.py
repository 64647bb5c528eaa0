"""From a flax module to two plain functions over a plain dict."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gradjax.types import Key, Model, Params


def from_module(module: nn.Module, input_shape: tuple[int, ...]) -> Model:
    """The module as a Model: its "params" collection is the parameters.

    Args:
      module: stateless; a "dropout" stream is split from the key that apply gets.
      input_shape: of one example.
    """

    def init(key: Key) -> Params:
        return module.init(key, jnp.zeros((1, *input_shape)))["params"]

    def apply(params: Params, inputs: jax.Array, key: Key | None = None) -> Any:
        rngs = None if key is None else {"dropout": key}
        return module.apply({"params": params}, inputs, rngs=rngs)

    return Model(init, apply)
