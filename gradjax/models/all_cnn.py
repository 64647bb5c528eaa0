"""The all-convolutional network: strides instead of pooling, and no dense layers."""

from typing import NamedTuple

import flax.linen as nn
import jax

from gradjax.models.convolution import SMALL, Convolution, bias
from gradjax.models.dropout import dropout
from gradjax.models.module import from_module
from gradjax.types import Model


class _Layer(NamedTuple):
    features: int
    size: int = 3
    is_padded: bool = True
    stride: int = 1


class _AllCNN(nn.Module):
    layers: tuple[_Layer, ...]
    input_dropout: float
    dropout: float

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        hidden = dropout(self, inputs, self.input_dropout)
        for number, layer in enumerate(self.layers):
            kernel_init = nn.initializers.he_normal()
            hidden = Convolution(*layer, kernel_init=kernel_init)(hidden)
            hidden = hidden + bias(self, f"bias_{number}", hidden)[None, None, None]
            if number < len(self.layers) - 1:
                hidden = nn.relu(hidden)
            if layer.stride > 1:
                hidden = dropout(self, hidden, self.dropout)
        return hidden.mean(axis=(1, 2))


def all_cnn(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    width: int = 96,
    input_dropout: float = 0.2,
    dropout: float = 0.5,
) -> Model:
    """Makes All-CNN-C: nine convolutions, 1,387,108 parameters on CIFAR-100.

    The layers are 3x3, 3x3 and 3x3 with stride 2, all with `width` channels; the same
    three with twice as many channels; 3x3 without padding; 1x1; and 1x1 to the logits.
    All but the last are followed by relu. The output is the mean of the logits over all
    positions. Images with a side under 10 pixels are padded at every convolution.

    Args:
      input_shape: (height, width, channels) of one image.
      num_outputs: number of logits.
      width: channels of the first three layers.
      input_dropout: dropout rate of the pixels.
      dropout: dropout rate of the outputs of each convolution with stride 2.

    Returns:
      A Model: apply(params, f32[batch, *input_shape]) -> f32[batch, num_outputs].

    Source:
      Springenberg, Dosovitskiy, Brox and Riedmiller, "Striving for Simplicity: The All
      Convolutional Net", ICLR 2015 workshop. Differs from the paper in that there is no
      relu between the last convolution and the mean, and in the initialisation, which
      is that of He et al. 2015.
    """
    is_small = min(input_shape[:2]) < SMALL
    one, two = _Layer(width), _Layer(2 * width)
    layers = (
        *(one, one, one._replace(stride=2)),
        *(two, two, two._replace(stride=2)),
        two._replace(is_padded=is_small),
        _Layer(2 * width, size=1),
        _Layer(num_outputs, size=1),
    )
    return from_module(_AllCNN(layers, input_dropout, dropout), input_shape)
