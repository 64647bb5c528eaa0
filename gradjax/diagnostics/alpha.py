"""The position of a step in the local parabola, and the error of a quadratic."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gradjax.diagnostics import trees
from gradjax.diagnostics.examples import Loss, each_loss, over_chunks
from gradjax.diagnostics.noise import Values
from gradjax.types import Batch, Params


def alpha(
    loss: Loss,
    params: Params,
    params_after: Params,
    batch: Batch,
    chunk: int = 32,
) -> Values:
    """Computes where a step ends in the parabola of the loss along the step.

    The parabola m0 + m1 t + m2 t^2 is fitted to the losses and the slopes at both ends
    of the step, t = 0 and t = 1, by least squares. The weights are the inverse
    variances of the four means over the examples. With the minimum at t* = -m1 / (2
    m2),

        alpha = 1 / t* - 1 = 2 / (-m1 / m2) - 1,

    so -1 is no step, 0 a step to the minimum, and 1 a step to the same height on the
    other side, the edge of stability. On a quadratic with curvature L along a step of
    gradient descent it is learning_rate * L - 1.

    A parabola has one condition on the four numbers, f1 - f0 = (s0 + s1) / 2. So least
    squares moves each slope by half of its variance times the error of this condition,
    divided by the variance of the error, and alpha is -s1 / s0. This form is exact
    where normal equations would be badly conditioned.

    Args:
      loss: (params, batch) -> f32[], the mean of the losses of the examples.
      params: the parameters before the step.
      params_after: the parameters after the step.
      batch: leaves [batch, ...]. One example has no variance, so the weights are equal,
        as they are without data, where the batch is None.
      chunk: the number of examples that are evaluated together, with two forward passes
        and their derivatives along the step. No gradient is computed.

    Returns:
      f32[] each: `alpha`, NaN where the parabola is concave or a line; `slope` and
      `curvature` along the step, m1 and 2 m2; and `error`, f1 - f0 - (s0 + s1) / 2, by
      which the loss deviates from a parabola.

    Raises:
        Refusal: chunk is not a whole number of at least 1.

    Source:
      Schneider, Dangel and Hennig, "Cockpit: A Practical Debugging Tool for the
      Training of Deep Neural Networks", 2021.
    """
    step = trees.difference(params_after, params)
    before = _along(loss, params, step, batch, chunk)
    after = _along(loss, params_after, step, batch, chunk)
    slopes = before[1].mean(), after[1].mean()
    # The losses of an example at both ends are subtracted before the mean is taken,
    # because the difference of two means loses digits.
    error = (after[0] - before[0]).mean() - (slopes[0] + slopes[1]) / 2.0
    found = [_variance(x) for x in (before[0], after[0], before[1], after[1])]
    spread = found[0] + found[1] + (found[2] + found[3]) / 4.0
    is_weighted = spread > 0.0
    shares = [jnp.where(is_weighted, x, 1.0) for x in found]
    spread = jnp.where(is_weighted, spread, 2.5)
    first, last = (
        slope + share / 2.0 * error / spread
        for slope, share in zip(slopes, shares[2:], strict=True)
    )
    curvature = last - first
    is_convex = curvature > 0.0
    place = jnp.where(
        is_convex, -last / jnp.where(first == 0.0, jnp.nan, first), jnp.nan
    )
    return {
        "alpha": place,
        "slope": first,
        "curvature": curvature,
        "error": error,
    }


def step_quality(
    loss: Loss, params: Params, params_after: Params, batch: Batch
) -> Values:
    """Compares the change of the loss in a step with what a quadratic predicts.

    With the step d, the gradient g and the Hessian H of the loss of the batch, the
    prediction is g'd + d'Hd / 2. The product Hd is the derivative of the gradient along
    d, so the price is about two gradients and two losses.

    Args:
      loss: (params, batch) -> f32[].
      params: the parameters before the step.
      params_after: the parameters after the step.
      batch: leaves [batch, ...], or None for a loss without data.

    Returns:
      f32[] each: `actual`, the change of the loss; `linear`, g'd; `predicted`, g'd +
      d'Hd / 2; `quality`, actual / predicted, 1 on a quadratic and NaN where nothing is
      predicted; and `curvature`, d'Hd / ||d||^2, NaN where d is 0.

    Source:
      Conn, Gould and Toint, "Trust Region Methods", 2000, for the ratio.
    """
    step = trees.difference(params_after, params)
    tangent = trees.as_params(step, params)
    grads, product = jax.jvp(jax.grad(lambda p: loss(p, batch)), (params,), (tangent,))
    linear, curved = trees.dot(grads, step), trees.dot(product, step)
    actual = trees.wide(loss(params_after, batch)) - trees.wide(loss(params, batch))
    predicted = linear + curved / 2.0
    is_defined = predicted != 0.0
    quality = actual / jnp.where(is_defined, predicted, 1.0)
    return {
        "actual": actual,
        "linear": linear,
        "predicted": predicted,
        "quality": jnp.where(is_defined, quality, jnp.nan),
        "curvature": trees.ratio(curved, trees.square(step)),
    }


def _along(
    loss: Loss, params: Params, step: Params, batch: Batch, chunk: int
) -> tuple[jax.Array, jax.Array]:
    """Computes the loss and the slope along a step of each example: f32[batch]."""
    tangent = trees.as_params(step, params)

    def along(losses: Callable[[Params], jax.Array]) -> tuple[jax.Array, jax.Array]:
        values, slopes = jax.jvp(losses, (params,), (tangent,))
        return trees.wide(values), trees.wide(slopes)

    if not jax.tree.leaves(batch):
        return along(lambda p: loss(p, batch)[None])
    return over_chunks(
        lambda x: ((), along(lambda p: each_loss(loss, p, x))), batch, chunk
    )[1]


def _variance(values: jax.Array) -> jax.Array:
    """Computes the variance of the mean of values [batch]: f32[]; 0 for one value."""
    size = len(values)
    return jnp.var(values) / (size - 1) if size > 1 else jnp.zeros((), values.dtype)
