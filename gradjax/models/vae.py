"""The encoder and the decoder of a variational autoencoder."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from gradjax.types import Key, Params


class Autoencoder(NamedTuple):
    """An encoder and a decoder that share one tree of parameters."""

    init: Callable[[Key], Params]
    encode: Callable[[Params, jax.Array], tuple[jax.Array, jax.Array]]
    # (params, inputs [batch, ...]) -> (mean, log_variance), f32[batch, latent] each
    decode: Callable[[Params, jax.Array], jax.Array]
    # (params, codes f32[..., latent]) -> logits f32[..., pixels]
    latent: int  # size of a code


class _VAE(nn.Module):
    widths: tuple[int, ...]
    latent: int
    num_pixels: int

    def setup(self) -> None:
        self.encoder = [_dense(width) for width in self.widths]
        self.code = _dense(2 * self.latent)
        self.decoder = [_dense(width) for width in reversed(self.widths)]
        self.pixels = _dense(self.num_pixels)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Applies encoder and decoder, as `init` requires."""
        return self.decode(self.encode(inputs)[0])

    def encode(self, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        hidden = inputs.reshape(inputs.shape[0], -1)
        for layer in self.encoder:
            hidden = nn.relu(layer(hidden))
        mean, log_variance = jnp.split(self.code(hidden), 2, axis=-1)
        return mean, log_variance

    def decode(self, codes: jax.Array) -> jax.Array:
        hidden = codes
        for layer in self.decoder:
            hidden = nn.relu(layer(hidden))
        return self.pixels(hidden)


def _dense(width: int) -> nn.Dense:
    return nn.Dense(width, kernel_init=nn.initializers.glorot_uniform())


def vae(
    input_shape: tuple[int, ...], widths: tuple[int, ...] = (256,), latent: int = 16
) -> Autoencoder:
    """Makes a VAE whose encoder and decoder are MLPs with relu.

    Args:
      input_shape: shape of one example.
      widths: number of units of each hidden layer of the encoder; the decoder has them
        in reverse order.
      latent: size of a code.

    Returns:
      An Autoencoder.

    Source:
      Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014. Differs from the
      paper in relu instead of tanh.
    """
    module = _VAE(tuple(widths), latent, math.prod(input_shape))

    def init(key: Key) -> Params:
        return module.init(key, jnp.zeros((1, *input_shape)))["params"]

    def encode(params: Params, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        made: Any = module.apply({"params": params}, inputs, method="encode")
        return made

    def decode(params: Params, codes: jax.Array) -> jax.Array:
        made: Any = module.apply({"params": params}, codes, method="decode")
        return made

    return Autoencoder(init, encode, decode, latent)
