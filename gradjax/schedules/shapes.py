"""Shapes that need no other shape: functions (progress, **arguments) -> f32[].

In the formulas t is the progress, f32[] in [0, 1).
"""

import jax
import jax.numpy as jnp

from gradjax.schedules.arguments import Count, Fraction, Fractions, Values
from gradjax.schedules.progress import above_zero, is_past, since, slack, warm_up


def constant(progress: jax.Array) -> jax.Array:
    """Returns 1 in every step."""
    return jnp.ones_like(progress)


def linear(progress: jax.Array, start: float = 1.0, end: float = 0.0) -> jax.Array:
    """Follows a straight line: start + (end - start) t."""
    return start + (end - start) * progress


def cosine(progress: jax.Array, end: float = 0.0) -> jax.Array:
    """Falls along half a period of a cosine: end + (1 - end) (1 + cos(pi t)) / 2.

    Source: Loshchilov and Hutter 2017, without restarts.
    """
    return end + (1.0 - end) * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))


def cosine_restarts(
    progress: jax.Array, cycles: Count = 4, growth: float = 1.0, end: float = 0.0
) -> jax.Array:
    """Falls from 1 to `end` along half a period of a cosine, `cycles` times.

    Each cycle is `growth` times as long as the cycle before it. The value is
    end + (1 - end) (1 + cos(pi t_i)) / 2, where t_i is the fraction of cycle i that has
    passed.

    Source: SGDR, Loshchilov and Hutter 2017. Differs from the paper in that the cycles
    fill the run: their number is given, and the length of the first follows from it.
    """
    exponents = jnp.arange(cycles, dtype=float) * jnp.log(jnp.asarray(growth, float))
    lengths = jnp.exp(exponents - exponents.max())  # at most 1, so nothing overflows
    ends = jnp.cumsum(lengths) / lengths.sum()
    starts = jnp.concatenate([jnp.zeros(1), ends[:-1]])
    # The boundaries are sums with rounding errors of their own: hence a second slack.
    cycle = jnp.sum(is_past(progress, starts - slack(progress))) - 1
    length = above_zero(ends[cycle] - starts[cycle])
    return cosine(jnp.clip((progress - starts[cycle]) / length, 0.0, 1.0), end)


def exponential(progress: jax.Array, end: float = 0.01) -> jax.Array:
    """Decays by the same factor in every step: end ** t."""
    return jnp.power(jnp.asarray(end, float), progress)


def inverse_sqrt(progress: jax.Array, warmup: Fraction = 0.1) -> jax.Array:
    """Rises linearly until `warmup`, then is sqrt(warmup / t) (Vaswani et al. 2017)."""
    least = above_zero(warmup)
    after = jnp.sqrt(least / jnp.maximum(progress, least))
    return warm_up(progress, warmup, jnp.where(warmup > 0, after, 1.0))


def one_cycle(
    progress: jax.Array,
    warmup: Fraction = 0.3,
    start: float = 0.04,
    end: float = 4e-6,
) -> jax.Array:
    """Rises along half a cosine from `start` to 1, then falls along one to `end`.

    It reaches 1 when the progress is `warmup`.

    Source: super-convergence, Smith and Topin 2019. Differs from the paper in that it
    uses cosines instead of lines, and in its defaults, which are those of fastai and
    PyTorch.
    """
    rising = jnp.minimum(progress / above_zero(warmup), 1.0)
    up = cosine(1.0 - rising, start)
    return jnp.where(progress < warmup, up, cosine(since(progress, warmup), end))


def piecewise(progress: jax.Array, values: Values, at: Fractions = ()) -> jax.Array:
    """Interpolates linearly between `values`: a schedule given as plain numbers.

    Value k is taken at progress at[k], or at k / (n - 1) if `at` is not given. Between
    two neighbours the schedule is a straight line; before the first point and after the
    last one it is constant. Two equal fractions make a jump.

    Args:
      progress: f32[], i / num_steps.
      values: f32[n] in [0, 1]. With n = num_steps + 1, step i has values[i].
      at: n sorted fractions or steps, or empty.
    """
    values = jnp.asarray(values, float)
    last = len(values) - 1
    if len(at) == 0:
        place = jnp.clip(progress * last, 0.0, last)
        low = jnp.floor(place).astype(jnp.int32)
        part = place - low
    else:
        points = jnp.stack([jnp.asarray(point, float) for point in at])
        low = jnp.maximum(jnp.sum(is_past(progress, points)) - 1, 0)
        width = points[jnp.minimum(low + 1, last)] - points[low]
        part = jnp.clip((progress - points[low]) / above_zero(width), 0.0, 1.0)
    return (1.0 - part) * values[low] + part * values[jnp.minimum(low + 1, last)]


def polynomial(progress: jax.Array, power: float = 2.0, end: float = 0.0) -> jax.Array:
    """Falls like a power of 1 - t: end + (1 - end) (1 - t) ** power."""
    return end + (1.0 - end) * jnp.power(1.0 - progress, power)


def rex(progress: jax.Array, end: float = 0.0) -> jax.Array:
    """Falls like a reflected exponential: end + (1 - end) (1 - t) / (1 - t / 2).

    It stays high for long and then falls steeply.

    Source: REX, Chen, Wolfe and Kyrillidis 2022, where `end` is 0.
    """
    left = 1.0 - progress
    return end + (1.0 - end) * left / (0.5 + 0.5 * left)


def step(
    progress: jax.Array, at: Fractions = (0.5, 0.75), factor: float = 0.1
) -> jax.Array:
    """Falls in stairs: factor ** (number of boundaries passed) (He et al. 2016)."""
    stairs = sum(jnp.where(is_past(progress, boundary), 1.0, 0.0) for boundary in at)
    return jnp.power(jnp.asarray(factor, float), stairs)


def warmup_constant(progress: jax.Array, warmup: Fraction = 0.05) -> jax.Array:
    """Rises linearly until `warmup`, then stays at 1."""
    return warm_up(progress, warmup, jnp.ones_like(progress))


def warmup_cosine(
    progress: jax.Array, warmup: Fraction = 0.05, end: float = 0.0
) -> jax.Array:
    """Rises linearly until `warmup`, then falls along half a cosine to `end`."""
    return warm_up(progress, warmup, cosine(since(progress, warmup), end))


def warmup_linear(
    progress: jax.Array, warmup: Fraction = 0.05, end: float = 0.0
) -> jax.Array:
    """Rises linearly until `warmup`, then falls linearly to `end`."""
    return warm_up(progress, warmup, linear(since(progress, warmup), 1.0, end))


def wsd(
    progress: jax.Array,
    warmup: Fraction = 0.05,
    decay: Fraction = 0.2,
    end: float = 0.0,
) -> jax.Array:
    """Warmup, stable, decay: rises linearly, stays at 1, and falls linearly to `end`.

    The fall takes the last `decay` of the run.

    Source: MiniCPM, Hu et al. 2024. Differs from the paper in that the decay is linear,
    as in Haegele et al. 2024, and not exponential.
    """
    return warm_up(progress, warmup, linear(since(progress, 1.0 - decay), 1.0, end))
