"""A small convolutional network."""

import flax.linen as nn
import jax

from gradjax.errors import Refusal
from gradjax.models.convolution import SMALL, Convolution, bias
from gradjax.models.module import from_module
from gradjax.models.pooling import relu_of_max_pool
from gradjax.types import Model


class _CNN(nn.Module):
    channels: tuple[int, ...]
    num_outputs: int
    is_padded: bool

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        hidden = inputs
        for layer, features in enumerate(self.channels):
            hidden = Convolution(features, is_padded=self.is_padded)(hidden)
            hidden = relu_of_max_pool(hidden, bias(self, f"bias_{layer}", hidden))
        hidden = hidden.reshape(hidden.shape[0], -1)
        return nn.Dense(self.num_outputs, kernel_init=nn.initializers.glorot_uniform())(
            hidden
        )


def cnn(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    channels: tuple[int, ...] = (32, 64),
) -> Model:
    """Makes a CNN: 3x3 convolution, relu and 2x2 max-pooling per layer, then Dense.

    With (32, 64) it is the small network of the Keras convolutional example (26x26x32,
    13x13x32, 11x11x64, 5x5x64, 10 logits; 34,826 parameters), without its dropout.
    Images with a side under 10 pixels are padded, so that convolutions keep their size.

    Args:
      input_shape: (height, width, channels) of one image.
      num_outputs: number of logits.
      channels: number of channels of each layer.

    Returns:
      A Model: apply(params, f32[batch, *input_shape]) -> f32[batch, num_outputs].

    Raises:
      Refusal: the image is too small for the number of layers.
    """
    is_padded = min(input_shape[:2]) < SMALL
    most = _most_layers(min(input_shape[:2]), is_padded)
    if len(channels) > most:
        size = f"{input_shape[0]}x{input_shape[1]}"
        said = f"cnn: channels={tuple(channels)}: {len(channels)} layers"
        raise Refusal(f"{said}; an image of {size} has room for {most}")
    return from_module(_CNN(tuple(channels), num_outputs, is_padded), input_shape)


def _most_layers(side: int, is_padded: bool) -> int:
    """Returns the largest number of layers that leaves at least one pixel."""
    num_layers = 0
    while (side := (side if is_padded else side - 2) // 2) > 0:
        num_layers += 1
    return num_layers
