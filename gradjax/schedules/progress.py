"""Where a step stands in a part of the run: arithmetic that rounding does not move."""

from typing import Any

import jax
import jax.numpy as jnp

# XLA multiplies by 1 / num_steps, so progress may fall short of its fraction by an ulp
# or two; without the slack one boundary in six would come a step late.
SLACK = 2.0**-22


def passed(progress: jax.Array, boundary: Any) -> jax.Array:
    """Whether a boundary is behind: bool[], or bool[n] of n boundaries."""
    return progress >= boundary - SLACK


def since(progress: jax.Array, start: Any) -> jax.Array:
    """The part of [start, 1] that has passed, in [0, 1]."""
    return jnp.clip((progress - start) / above_zero(1.0 - start), 0.0, 1.0)


def within(progress: jax.Array, low: Any, high: Any) -> jax.Array:
    """The part of [low, high] that has passed, in [0, 1]; never short by rounding.

    A difference is as wrong as its terms, and more so over a narrow part: past the
    slack of `passed`, so that a boundary inside would come a step late.
    """
    low = jnp.asarray(low, jnp.float32)
    ahead = jnp.where(low > 0.0, jnp.float32(SLACK), 0.0)
    return jnp.clip((progress - low + ahead) / above_zero(high - low), 0.0, 1.0)


def warmed(progress: jax.Array, warmup: Any, after: jax.Array) -> jax.Array:
    """A line from 0 to 1 at `warmup`, then `after`."""
    return jnp.where(progress < warmup, progress / above_zero(warmup), after)


def above_zero(value: Any) -> jax.Array:
    """The value, or 2**-40, so that a division by it and its gradient stay finite."""
    return jnp.maximum(jnp.asarray(value, jnp.float32), jnp.float32(2.0**-40))
