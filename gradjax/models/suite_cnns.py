"""Two convolutional networks that benchmarks of optimizers train.

Source:
  Schneider, Balles and Hennig, "DeepOBS: A Deep Learning Optimizer Benchmark Suite",
  ICLR 2019: its 2c2d and 3c3d.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax

from gradjax.models.convolution import (
    SMALL,
    Convolution,
    bias,
    max_pool,
    max_pool_overlapping,
)
from gradjax.models.module import from_module
from gradjax.types import Model


class _Layer(NamedTuple):
    features: int
    size: int
    is_padded: bool


class _ConvolutionsThenDense(nn.Module):
    convolutions: tuple[_Layer, ...]
    pool: Callable[[jax.Array], jax.Array]
    widths: tuple[int, ...]  # of the dense layers
    num_outputs: int

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        hidden = inputs
        for number, layer in enumerate(self.convolutions):
            # Pooled before bias and relu, as in cnn.py: the same function, sooner.
            hidden = self.pool(Convolution(*layer)(hidden))
            hidden = nn.relu(bias(self, f"bias_{number}", hidden))
        hidden = hidden.reshape(hidden.shape[0], -1)
        for width in self.widths:
            hidden = nn.relu(_dense(width)(hidden))
        return _dense(self.num_outputs)(hidden)


def _dense(width: int) -> nn.Dense:
    return nn.Dense(width, kernel_init=nn.initializers.glorot_uniform())


def cnn_2c2d(
    input_shape: tuple[int, int, int], num_outputs: int, width: int = 1024
) -> Model:
    """Two convolutions and two dense layers: 3,274,634 parameters on MNIST.

    5x5 convolution to 32 channels and to 64, each padded, with relu and 2x2 pooling;
    Dense to `width`, relu, Dense.

    Args:
      input_shape: (height, width, channels) of one image.
      num_outputs: logits.
      width: units of the hidden dense layer.

    Returns:
      A Model: apply(params, f32[batch, *input_shape]) -> f32[batch, num_outputs].

    Source:
      Schneider et al. 2019, 2c2d. Differs from it in the start: Glorot's, biases zero,
      where its weights have deviation 0.05 and its biases are 0.05.
    """
    layers = (_Layer(32, 5, True), _Layer(64, 5, True))
    module = _ConvolutionsThenDense(layers, max_pool, (width,), num_outputs)
    return from_module(module, input_shape)


def cnn_3c3d(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    widths: tuple[int, ...] = (512, 256),
) -> Model:
    """Three convolutions and three dense layers: 895,210 parameters on CIFAR-10.

    A 5x5 convolution to 64 channels, 3x3 to 96, 3x3 padded to 128, each with relu and
    pooling over 3x3 at every second place; Dense and relu for each of `widths`; Dense.
    Images with a side under 10 pixels are padded at every convolution.

    Args:
      input_shape: (height, width, channels) of one image.
      num_outputs: logits.
      widths: units of the hidden dense layers.

    Returns:
      A Model: apply(params, f32[batch, *input_shape]) -> f32[batch, num_outputs].

    Source:
      Schneider et al. 2019, 3c3d, without its l2 penalty of 0.002: weight decay is the
      optimizer's here.
    """
    is_small = min(input_shape[:2]) < SMALL
    layers = (_Layer(64, 5, is_small), _Layer(96, 3, is_small), _Layer(128, 3, True))
    pool = max_pool_overlapping
    module = _ConvolutionsThenDense(layers, pool, tuple(widths), num_outputs)
    return from_module(module, input_shape)
