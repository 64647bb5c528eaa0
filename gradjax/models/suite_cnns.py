"""Two convolutional networks of a benchmark suite for optimizers, 2c2d and 3c3d.

Source:
  Schneider, Balles and Hennig, "DeepOBS: A Deep Learning Optimizer Benchmark Suite",
  ICLR 2019.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax

from gradjax.models.convolution import SMALL, Convolution, bias
from gradjax.models.module import from_module
from gradjax.models.pooling import relu_of_max_pool, relu_of_overlapping_max_pool
from gradjax.types import Model


class _Layer(NamedTuple):
    features: int
    size: int
    is_padded: bool


class _ConvolutionsThenDense(nn.Module):
    convolutions: tuple[_Layer, ...]
    relu_of_pool: Callable[[jax.Array, jax.Array], jax.Array]
    widths: tuple[int, ...]  # of the dense layers
    num_outputs: int

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        hidden = inputs
        for number, layer in enumerate(self.convolutions):
            hidden = Convolution(*layer)(hidden)
            hidden = self.relu_of_pool(hidden, bias(self, f"bias_{number}", hidden))
        hidden = hidden.reshape(hidden.shape[0], -1)
        for width in self.widths:
            hidden = nn.relu(_dense(width)(hidden))
        return _dense(self.num_outputs)(hidden)


def _dense(width: int) -> nn.Dense:
    return nn.Dense(width, kernel_init=nn.initializers.glorot_uniform())


def cnn_2c2d(
    input_shape: tuple[int, int, int], num_outputs: int, width: int = 1024
) -> Model:
    """Makes 2c2d: two convolutions and two dense layers, 3,274,634 parameters on MNIST.

    The layers are padded 5x5 convolutions to 32 and to 64 channels, each with relu and
    2x2 max-pooling; Dense to `width` with relu; and Dense.

    Args:
      input_shape: (height, width, channels) of one image.
      num_outputs: number of logits.
      width: number of units of the hidden dense layer.

    Returns:
      A Model: apply(params, f32[batch, *input_shape]) -> f32[batch, num_outputs].

    Source:
      Schneider et al. 2019, 2c2d. Differs from the paper in the initialisation, which
      is Glorot's with zero biases; in the paper weights have standard deviation 0.05
      and biases are 0.05.
    """
    layers = (_Layer(32, 5, True), _Layer(64, 5, True))
    module = _ConvolutionsThenDense(layers, relu_of_max_pool, (width,), num_outputs)
    return from_module(module, input_shape)


def cnn_3c3d(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    widths: tuple[int, ...] = (512, 256),
) -> Model:
    """Makes 3c3d: three convolutions and three dense layers.

    The layers are a 5x5 convolution to 64 channels, a 3x3 one to 96 and a padded 3x3
    one to 128, each with relu and 3x3 max-pooling with stride 2; Dense and relu for
    each of `widths`; and Dense. There are 895,210 parameters on CIFAR-10. Images with a
    side under 10 pixels are padded at every convolution.

    Args:
      input_shape: (height, width, channels) of one image.
      num_outputs: number of logits.
      widths: number of units of each hidden dense layer.

    Returns:
      A Model: apply(params, f32[batch, *input_shape]) -> f32[batch, num_outputs].

    Source:
      Schneider et al. 2019, 3c3d. Differs from the paper in that there is no l2 penalty
      of 0.002, because weight decay is a setting of the optimizer.
    """
    is_small = min(input_shape[:2]) < SMALL
    layers = (_Layer(64, 5, is_small), _Layer(96, 3, is_small), _Layer(128, 3, True))
    pool = relu_of_overlapping_max_pool
    module = _ConvolutionsThenDense(layers, pool, tuple(widths), num_outputs)
    return from_module(module, input_shape)
