"""The losses of single examples."""

import jax

from gradjax.diagnostics.context import Loss
from gradjax.diagnostics.examples import each_loss
from gradjax.types import Batch, Params


def per_example_loss(loss: Loss, params: Params, batch: Batch) -> jax.Array:
    """Computes the loss of each example of the batch, in the order of the batch.

    Args:
      loss: (params, batch) -> f32[], the mean of the losses of the examples.
      params: the parameters before the step.
      batch: leaves [batch, ...].

    Returns:
      f32[batch].
    """
    return each_loss(loss, params, batch)
