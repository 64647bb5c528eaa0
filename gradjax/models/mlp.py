"""The multilayer perceptron."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from gradjax.models.module import from_module
from gradjax.types import Model


class _MLP(nn.Module):
    widths: tuple[int, ...]
    num_outputs: int

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        hidden = inputs.reshape(inputs.shape[0], -1)
        for width in self.widths:
            hidden = nn.relu(_dense(width)(hidden))
        return _dense(self.num_outputs)(hidden)


def _dense(width: int) -> nn.Dense:
    return nn.Dense(width, kernel_init=nn.initializers.glorot_uniform())


def mlp(
    input_shape: tuple[int, ...], num_outputs: int, widths: Sequence[int] = (128,)
) -> Model:
    """Makes an MLP of flattened inputs: Dense and relu per hidden layer, then Dense.

    With one width of 128 it is the network of the Keras tutorial (784-128-10), with the
    same initialisation (Glorot and Bengio 2010, uniform).

    Args:
      input_shape: shape of one example.
      num_outputs: number of logits.
      widths: number of units of each hidden layer; () gives a linear model.

    Returns:
      A Model: apply(params, f32[batch, *input_shape]) -> f32[batch, num_outputs].
    """
    return from_module(_MLP(tuple(widths), num_outputs), input_shape)
