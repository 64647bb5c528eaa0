"""Tests of whether a batch is large enough for its gradient to be a descent direction.

Each test gives a standard error of the gradient g of a batch of B examples, relative to
||g||: of all of it, of the part along g, and of the part orthogonal to g. A batch
passes where the value is below a bound such as 0.9.
"""

import jax.numpy as jnp

from gradjax.diagnostics import trees
from gradjax.diagnostics.examples import Loss, deviations
from gradjax.diagnostics.noise import Values
from gradjax.types import Batch, Params


def gradient_tests(
    loss: Loss, params: Params, batch: Batch, grads: Params, chunk: int | None = None
) -> Values:
    """Computes the norm, the inner-product and the orthogonality test.

    With deviations e_i = g_i - g and n = (B - 1) B,

        norm^2          = sum ||e_i||^2 / (n ||g||^2)
        inner_product^2 = sum (e_i'g)^2 / (n ||g||^4)
        orthogonality^2 = sum (||e_i||^2 - (e_i'g)^2 / ||g||^2) / (n ||g||^2),

    so norm^2 = inner_product^2 + orthogonality^2.

    Args:
      loss: (params, batch) -> f32[], the mean of the losses of the examples.
      params: the parameters before the step.
      batch: leaves [batch, ...].
      grads: the gradient of this batch.
      chunk: the number of gradients that are computed together; None: as
        `examples.usual_chunk` says.

    Returns:
      `norm`, `inner_product` and `orthogonality`, f32[] each; NaN where g is 0.

    Raises:
        Refusal: see `examples.deviations`.

    Source:
      Byrd, Chin, Nocedal and Wu, "Sample Size Selection in Optimization Methods for
      Machine Learning", 2012; Bollapragada, Byrd and Nocedal, "Adaptive Sampling
      Strategies for Stochastic Optimization", 2018.
    """
    found = deviations(loss, params, batch, grads, chunk)
    norm = jnp.sqrt(found.square)
    along = trees.ratio(found.products, norm)  # f32[batch]
    # Rounding can make the difference negative where all gradients are parallel.
    across = jnp.maximum(found.squares - along * along, 0.0)
    num = ((found.num_examples - 1) * found.num_examples) ** 0.5
    sums = {
        "norm": found.squares,
        "inner_product": along * along,
        "orthogonality": across,
    }
    return {
        name: trees.ratio(jnp.sqrt(x.sum()), norm) / num for name, x in sums.items()
    }
