"""What models of token sequences share: embedding, dropout, what is real.

A batch of texts is `tokens` i32[batch, time], with padding behind the end of each, and
`lengths` i32[batch], at least 1. Whatever stands in the padding, the outputs at real
tokens are the same.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gradjax.types import Key, Model, Params


def from_tokens(module: nn.Module, *examples: jax.Array) -> Model:
    """The module as a Model of integer inputs.

    Args:
      module: stateless; a "dropout" stream is split from the key that apply gets.
      examples: its inputs, of any values, for their shapes. Where there are several,
        `apply` takes them as one tuple.
    """

    def init(key: Key) -> Params:
        return module.init(key, *examples)["params"]

    def apply(params: Params, inputs: Any, key: Key | None = None) -> Any:
        rngs = None if key is None else {"dropout": key}
        given = inputs if len(examples) > 1 else (inputs,)
        return module.apply({"params": params}, *given, rngs=rngs)

    return Model(init, apply)


def example_tokens() -> jax.Array:
    """Tokens i32[1, 2]: no parameter's shape depends on batch or time."""
    return jnp.zeros((1, 2), jnp.int32)


def example_lengths() -> jax.Array:
    """Lengths i32[1] of `example_tokens`."""
    return jnp.full(1, 2, jnp.int32)


def embedding(module: nn.Module, num_tokens: int, width: int) -> jax.Array:
    """A parameter "embedding" f32[num_tokens, width] of rows with length about one.

    A gather from it is cheap; its gradient is dense, [num_tokens, width] a step, and so
    is the optimizer's update.
    """
    init = nn.initializers.normal(width**-0.5)
    return module.param("embedding", init, (num_tokens, width))


def rows(layer: Callable[[jax.Array], jax.Array], values: jax.Array) -> jax.Array:
    """The layer over the last axis of f32[..., width], as one matrix of rows.

    The same function. On the CPU the gradient of a product of [batch, time, width] is
    slower: 27 ms against 18 (median of 23, [32, 128, 128] times [128, 384]).
    """
    outputs = layer(values.reshape(-1, values.shape[-1]))
    return outputs.reshape(*values.shape[:-1], outputs.shape[-1])


def dropout(module: nn.Module, values: jax.Array, rate: float) -> jax.Array:
    """Zeroes a part of the values and scales up the rest, in training alone.

    The rate is rounded to a 256th, so that one byte of randomness serves a value: on a
    CPU random bits are what dropout costs. The mean is kept exactly. Srivastava et al.
    2014.

    Args:
      module: where there is no "dropout" stream, as in evaluation, nothing happens.
      values: f32[...].
      rate: what is zeroed, in [0, 1).
    """
    threshold = round(rate * 256)
    if threshold == 0 or not module.has_rng("dropout"):
        return values
    bits = jax.random.bits(module.make_rng("dropout"), values.shape, jnp.uint8)
    scale = 256 / (256 - threshold)
    return jnp.where(bits >= threshold, values * scale, 0.0)


def is_real(lengths: jax.Array, time: int) -> jax.Array:
    """Where a token is no padding: bool[batch, time]."""
    return jnp.arange(time, dtype=lengths.dtype)[None] < lengths[:, None]


def mean_of_real(values: jax.Array, lengths: jax.Array) -> jax.Array:
    """The mean over each text's real tokens: f32[batch, time, width] to [batch, width].

    Padding is selected away, not multiplied by zero, so that not even an infinity in it
    would count.
    """
    real = is_real(lengths, values.shape[1])[:, :, None]
    total = jnp.where(real, values, 0.0).sum(axis=1)
    return total / lengths.astype(values.dtype)[:, None]
