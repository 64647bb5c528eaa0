"""Multinomial logistic regression."""

import flax.linen as nn
import jax

from gradjax.models.module import from_module
from gradjax.types import Model


class _Logistic(nn.Module):
    num_outputs: int

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        flat = inputs.reshape(inputs.shape[0], -1)
        return nn.Dense(self.num_outputs, kernel_init=nn.initializers.zeros)(flat)


def logistic(input_shape: tuple[int, ...], num_outputs: int) -> Model:
    """Makes a linear model of flattened inputs; with cross-entropy it is convex.

    The initial weights are zero, so the seed of a run determines only the batches.

    Args:
      input_shape: shape of one example.
      num_outputs: number of logits.

    Returns:
      A Model: apply(params, f32[batch, *input_shape]) -> f32[batch, num_outputs].
    """
    return from_module(_Logistic(num_outputs), input_shape)
