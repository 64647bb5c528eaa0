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
    """Flatten, then Dense: with softmax cross-entropy a convex problem.

    It starts at zero, so a run's seed decides its batches alone.

    Args:
      input_shape: of one example.
      num_outputs: logits.

    Returns:
      A Model: apply(params, f32[batch, *input_shape]) -> f32[batch, num_outputs].
    """
    return from_module(_Logistic(num_outputs), input_shape)
