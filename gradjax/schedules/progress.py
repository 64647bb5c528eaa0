"""Progress of a step in a part of the run, computed so that rounding delays no step."""

from typing import Any

import jax
import jax.numpy as jnp


def slack(progress: jax.Array) -> float:
    """Returns the largest rounding error of a progress: 2**-22 in float32.

    XLA multiplies by 1 / num_steps, so the progress may be one or two ulps below the
    exact fraction. Without the slack one boundary in six would take effect a step late.
    """
    return 2.0 * float(jnp.finfo(progress.dtype).eps)


def is_past(progress: jax.Array, boundary: Any) -> jax.Array:
    """Returns whether a boundary is reached: bool[], or bool[n] for n boundaries."""
    return progress >= boundary - slack(progress)


def since(progress: jax.Array, start: Any) -> jax.Array:
    """Returns the fraction of [start, 1] that has passed, in [0, 1]."""
    return jnp.clip((progress - start) / above_zero(1.0 - start), 0.0, 1.0)


def within(progress: jax.Array, low: Any, high: Any) -> jax.Array:
    """Returns the fraction of [low, high] that has passed, in [0, 1].

    A difference has the rounding errors of its terms, and the division by the length of
    a short part enlarges them. They could then exceed the slack of `passed`, and a
    boundary inside the part would take effect a step late. So the slack is added here,
    before the division, and the result is never too small.
    """
    low = jnp.asarray(low, float)
    ahead = jnp.where(low > 0.0, jnp.asarray(slack(progress), low.dtype), 0.0)
    return jnp.clip((progress - low + ahead) / above_zero(high - low), 0.0, 1.0)


def warm_up(progress: jax.Array, warmup: Any, after: jax.Array) -> jax.Array:
    """Returns a line from 0 to 1 until the progress is `warmup`, then `after`."""
    return jnp.where(progress < warmup, progress / above_zero(warmup), after)


def above_zero(value: Any) -> jax.Array:
    """Returns max(value, 2**-40), so that a quotient and its gradient stay finite."""
    return jnp.maximum(jnp.asarray(value, float), 2.0**-40)
