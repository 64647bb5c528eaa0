"""Convolution and pooling in the form that each backend runs fastest.

Measured on 2 CPU cores, ms a training step of the network in cnn.py, inside lax.scan:

    batch 128: lax.conv 500, patches times a matrix 27 (einsum over patches 35)
    batch 32: lax.conv 87, patches times a matrix 5.4

The weight gradient of lax.conv falls off XLA's fast path inside a loop on the CPU. On a
GPU or TPU lax.conv is the fast form, so it is taken there.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp


class Convolution(nn.Module):
    """A convolution without bias: [b, h, w, c] -> [b, h', w', f].

    h' = h and w' = w where it is padded, else size - 1 less.
    """

    features: int
    size: int = 3
    is_padded: bool = False

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Convolves; the kernel is [size, size, channels, features] in either form."""
        shape = (self.size, self.size, inputs.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), shape)
        if self.is_padded:
            margin = (self.size // 2, (self.size - 1) // 2)
            inputs = jnp.pad(inputs, ((0, 0), margin, margin, (0, 0)))
        if jax.default_backend() == "cpu":
            return convolve_patches(inputs, kernel)
        return convolve_lax(inputs, kernel)


def convolve_lax(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
    """The library's convolution."""
    return jax.lax.conv_general_dilated(
        inputs, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def convolve_patches(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
    """The same function: every patch as a row, times the kernel as a matrix."""
    size, _, channels, features = kernel.shape
    batch, height, width, _ = inputs.shape
    height, width = height - size + 1, width - size + 1
    shifted = [
        inputs[:, row : row + height, column : column + width]
        for row in range(size)
        for column in range(size)
    ]
    patches = jnp.concatenate(shifted, axis=-1)
    rows = patches.reshape(batch * height * width, size * size * channels)
    outputs = rows @ kernel.reshape(size * size * channels, features)
    return outputs.reshape(batch, height, width, features)


def max_pool(inputs: jax.Array) -> jax.Array:
    """2x2 max-pooling; an odd last row or column is dropped. [b, h, w, c]."""
    batch, height, width, channels = inputs.shape
    even = inputs[:, : height // 2 * 2, : width // 2 * 2]
    quads = even.reshape(batch, height // 2, 2, width // 2, 2, channels)
    upper = jnp.maximum(quads[:, :, 0, :, 0], quads[:, :, 0, :, 1])
    lower = jnp.maximum(quads[:, :, 1, :, 0], quads[:, :, 1, :, 1])
    return jnp.maximum(upper, lower)
