"""The rate along an update above which the loss rises, and the sharpness it implies."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradjax.diagnostics.products import Loss, scalar
from gradjax.diagnostics.vectors import check_like, space_of
from gradjax.errors import Refusal
from gradjax.types import Batch, Params

_MOST_DOUBLINGS = 30  # 1e9 times `first_rate`, in both directions


class CriticalSharpness(NamedTuple):
    """2 / (the least rate at which the loss rises), with its bracket.

    Attributes:
      value: f[], the geometric mean of the bracket. It is 0 if the loss rises at no
        rate, and infinite if it rises at every rate. It is NaN, and so is the bracket,
        if the update is 0, or if the update or the loss before it is not finite.
      low: f[], 2 / (a rate at which the loss rises).
      high: f[], 2 / (a rate at which it does not rise).
      num_losses: i32[], the number of losses that were computed.
    """

    value: jax.Array
    low: jax.Array
    high: jax.Array
    num_losses: jax.Array


class _Search(NamedTuple):
    low: jax.Array  # f[], the largest rate at which the loss did not rise, or 0
    high: jax.Array  # f[], the least rate at which it rose, or infinity
    num_losses: jax.Array  # i32[]


def critical_sharpness(
    loss: Loss,
    params: Params,
    batch: Batch,
    updates: Params,
    *,
    tolerance: float = 0.05,
    first_rate: float | jax.Array = 1.0,
) -> CriticalSharpness:
    """Computes 2 / rate_c; rate_c is the least rate at which an update raises the loss.

    The loss at params + rate * updates is compared with that at params. The rate is
    doubled or halved until it brackets the rise, and bisected on a log axis until the
    ends differ by the tolerance. With the default tolerance it takes 7 forward passes,
    and 1 more for each further doubling or halving. On a quadratic along -g it is
    g' H g / |g|^2.

    If the updates contain the learning rate, then rate_c is a multiple of the step that
    was taken: a value above 2 says that this step raises the loss of its batch. Times
    1 / (learning rate) it is the critical sharpness of the paper.

    Args:
      loss: (params, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of the loss, a pytree or None.
      updates: the direction, a pytree like the parameters that is added to them.
      tolerance: the largest high / low - 1 of the bracket, above 0.
      first_rate: f[], the first rate that is tried, above 0. Near rate_c fewer forward
        passes are needed. Rates from 1e-9 to 1e9 times it are searched.

    Returns:
      A CriticalSharpness in the type of the parameters, at least float32.

    Raises:
      Refusal: another shape of the updates, a tolerance that is not positive, or a loss
        that is not one number.

    Source:
      "Critical sharpness", arXiv:2601.16979.
    """
    if not tolerance > 0:
        raise Refusal(f"tolerance={tolerance!r}: expected a positive number")
    check_like("updates", updates, params)
    space = space_of(params)
    at, step = space.ravel(params), space.ravel(updates)

    def value(rate: jax.Array) -> jax.Array:
        return scalar(loss(space.tangent(at + rate * step), batch))

    here = scalar(loss(params, batch))
    is_finite = jnp.isfinite(here) & jnp.all(jnp.isfinite(step))
    is_defined = is_finite & jnp.any(step != 0)
    # A rate of NaN ends the search before its first loss.
    first = jnp.where(is_defined, jnp.asarray(first_rate, space.dtype), jnp.nan)
    found = _bracket(lambda rate: ~(value(rate) <= here), first, float(tolerance))
    low, high = (
        jnp.where(is_defined, 2 / rate, jnp.nan) for rate in (found.high, found.low)
    )
    middle = jnp.where(low > 0, jnp.sqrt(low) * jnp.sqrt(high), low)
    return CriticalSharpness(middle, low, high, found.num_losses + 1)


def _bracket(
    rises: Callable[[jax.Array], jax.Array], first: jax.Array, tolerance: float
) -> _Search:
    """Brackets the rate at which a loss begins to rise."""
    far = jnp.asarray(2.0**_MOST_DOUBLINGS, first.dtype)
    # Each bisection halves the logarithm of high / low, which is 2 at the beginning.
    num_bisections = math.log2(math.log(2.0) / math.log1p(tolerance))
    most = _MOST_DOUBLINGS + max(0, math.ceil(num_bisections)) + 4

    def is_open(now: _Search) -> jax.Array:
        is_known = (now.low > 0) & jnp.isfinite(now.high)
        is_wide = now.high > (1 + tolerance) * now.low
        is_near = (now.low < first * far) & (now.high > first / far)
        return jnp.where(is_known, is_wide, is_near) & (now.num_losses < most)

    def narrow(now: _Search) -> _Search:
        # The first rate, then twice or half of the last one, then the geometric mean.
        inner = jnp.sqrt(now.low) * jnp.sqrt(now.high)
        up = jnp.where(now.low > 0, 2 * now.low, first)
        rate = jnp.where(now.low > 0, inner, now.high / 2)
        rate = jnp.where(jnp.isfinite(now.high), rate, up)
        has_risen = rises(rate)
        return _Search(
            jnp.where(has_risen, now.low, rate),
            jnp.where(has_risen, rate, now.high),
            now.num_losses + 1,
        )

    count = jnp.zeros((), jnp.int32)
    start = _Search(jnp.zeros_like(first), jnp.full_like(first, jnp.inf), count)
    return jax.lax.while_loop(is_open, narrow, start)
