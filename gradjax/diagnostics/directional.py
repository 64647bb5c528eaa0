"""The curvature of a loss along a direction."""

import jax
import jax.numpy as jnp

from gradjax.diagnostics.products import Curvature, Loss, curvature
from gradjax.diagnostics.vectors import check_like, dot, unit
from gradjax.types import Batch, Params


def directional_sharpness(
    loss: Loss, params: Params, batch: Batch, direction: Params
) -> jax.Array:
    """Computes d' H d / |d|^2, the curvature along a direction, f[].

    Args:
      loss: (params, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of the loss, a pytree or None.
      direction: d, a pytree like the parameters, such as the updates or the gradient;
        with 0 the result is NaN.

    Returns:
      f[], in the type of the parameters, at least float32.

    Raises:
      Refusal: another shape of the direction, a leaf that is not of floats, or a loss
        that is not one number.
    """
    check_like("direction", direction, params)
    local = curvature(loss, params, batch)
    return _along(local, local.space.ravel(direction))


def batch_sharpness(loss: Loss, params: Params, batch: Batch = None) -> jax.Array:
    """Computes g' H g / |g|^2 with the gradient g and the Hessian H of one batch, f[].

    Its mean over batches is the batch sharpness, which stays near 2 / rate when sgd
    trains at its edge of stability. On the complete data it is the curvature along the
    gradient.

    Args:
      loss: (params, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of the loss, a pytree or None.

    Returns:
      f[], in the type of the parameters, at least float32; NaN if the gradient is 0.

    Raises:
      Refusal: a leaf that is not of floats, or a loss that is not one number.

    Source:
      Andreyev and Beneventano, "Edge of Stochastic Stability", 2024
      (arXiv:2412.20553).
    """
    local = curvature(loss, params, batch)
    return _along(local, local.gradient)


def _along(local: Curvature, direction: jax.Array) -> jax.Array:
    # Of norm 1 before the product, because squares of small updates vanish in float32.
    along = unit(direction)
    value = dot(along, local.product(along))
    return jnp.where(jnp.any(along != 0), value, jnp.nan)
