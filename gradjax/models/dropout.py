"""Dropout, with bits that cost about as much as reading the values.

The bits of a mask are a function of the layer's key and of the index of the value. The
generator threefry, with its 20 rounds, takes 20 times as long on a CPU: 23 ms of
processor time for f32[64, 128, 256] in a scan, of which the hash takes 1.0 (2 cores).
A mask needs bits that look independent, and no generator that resists an attack.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gradjax.data.mixing import mix
from gradjax.types import Key


def dropout(module: nn.Module, values: jax.Array, rate: float) -> jax.Array:
    """Applies dropout (Srivastava et al. 2014), in training only.

    Each value is set to zero with probability `rate`, which is rounded to a multiple of
    2**-32, and divided by 1 - rate otherwise.

    Args:
      module: a module; without a "dropout" stream, as in evaluation, the values are
        returned unchanged.
      values: f32[...].
      rate: probability that a value is set to zero, in [0, 1).
    """
    threshold = round(rate * 2**32)
    if threshold == 0 or not module.has_rng("dropout"):
        return values
    bits = random_bits(module.make_rng("dropout"), values.shape)
    return jnp.where(bits >= jnp.uint32(threshold), values * (1.0 / (1.0 - rate)), 0.0)


def random_bits(key: Key, shape: tuple[int, ...]) -> jax.Array:
    """Computes random bits by two rounds of a hash: mix(mix(index ^ k0) + k1).

    They are as good as a mask needs, see tests/models/test_dropout.py. They repeat
    after 2**32 values. A key of another generator than threefry gives the bits of that
    generator, because whoever chooses one, such as "rbg", has a device with fast bits.

    Args:
      key: a key; k0 and k1 are its two words.
      shape: the shape.

    Returns:
      u32[*shape].
    """
    words = jax.random.key_data(key)
    if words.shape != (2,):
        return jax.random.bits(key, shape, jnp.uint32)
    index = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return mix(jnp, mix(jnp, index ^ words[0]) + words[1])
