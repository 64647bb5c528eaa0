"""Shapes that stand alone: each is a function (progress, **arguments) -> f32[]."""

import jax
import jax.numpy as jnp

from gradjax.schedules.arguments import Count, Fraction, Fractions, Values
from gradjax.schedules.progress import SLACK, above_zero, passed, since, warmed


def constant(progress: jax.Array) -> jax.Array:
    """1 throughout."""
    return jnp.ones_like(progress)


def linear(progress: jax.Array, start: float = 1.0, end: float = 0.0) -> jax.Array:
    """A straight line: start + (end - start) t."""
    return start + (end - start) * progress


def cosine(progress: jax.Array, end: float = 0.0) -> jax.Array:
    """Half a cosine: end + (1 - end) (1 + cos(pi t)) / 2.

    Loshchilov and Hutter 2017, one period.
    """
    return end + (1.0 - end) * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))


def cosine_restarts(
    progress: jax.Array, cycles: Count = 4, growth: float = 1.0, end: float = 0.0
) -> jax.Array:
    """Half a cosine `cycles` times, each `growth` times as long as the one before.

    end + (1 - end) (1 + cos(pi t_i)) / 2, where t_i is the part of cycle i that has
    passed. SGDR, Loshchilov and Hutter 2017. Differs from the paper in that the cycles
    fill the run: their number is given, the length of the first follows.
    """
    exponents = jnp.arange(cycles, dtype=jnp.float32) * jnp.log(jnp.float32(growth))
    lengths = jnp.exp(exponents - exponents.max())  # at most 1: no growth overflows
    ends = jnp.cumsum(lengths) / lengths.sum()
    starts = jnp.concatenate([jnp.zeros(1, jnp.float32), ends[:-1]])
    # The boundaries are sums, hence the second slack.
    cycle = jnp.sum(passed(progress, starts - SLACK)) - 1
    length = above_zero(ends[cycle] - starts[cycle])
    return cosine(jnp.clip((progress - starts[cycle]) / length, 0.0, 1.0), end)


def exponential(progress: jax.Array, end: float = 0.01) -> jax.Array:
    """The same factor every step: end ** t."""
    return jnp.power(jnp.float32(end), progress)


def inverse_sqrt(progress: jax.Array, warmup: Fraction = 0.1) -> jax.Array:
    """Up in a line to `warmup`, then sqrt(warmup / t) (Vaswani et al. 2017)."""
    least = above_zero(warmup)
    after = jnp.sqrt(least / jnp.maximum(progress, least))
    return warmed(progress, warmup, jnp.where(warmup > 0, after, 1.0))


def one_cycle(
    progress: jax.Array,
    warmup: Fraction = 0.3,
    start: float = 0.04,
    end: float = 4e-6,
) -> jax.Array:
    """Half a cosine up from `start` to 1 at `warmup`, then one down to `end`.

    Smith and Topin 2019, super-convergence. Differs from the paper in its cosines,
    where the paper has lines, and in its defaults: those of fastai and PyTorch.
    """
    rising = jnp.minimum(progress / above_zero(warmup), 1.0)
    up = cosine(1.0 - rising, start)
    return jnp.where(progress < warmup, up, cosine(since(progress, warmup), end))


def piecewise(progress: jax.Array, values: Values, at: Fractions = ()) -> jax.Array:
    """Straight lines through `values`: a schedule as plain numbers.

    Value k stands at fraction at[k], or at k / (n - 1) where `at` is left out; the
    line through two neighbours lies between them, and outside all of them the nearest
    holds. Two equal fractions make a jump.

    Args:
      progress: f32[], i / num_steps.
      values: f32[n] in [0, 1]. With n = num_steps + 1, step i has values[i].
      at: n sorted fractions or steps, or nothing.
    """
    values = jnp.asarray(values, jnp.float32)
    last = len(values) - 1
    if len(at) == 0:
        place = jnp.clip(progress * last, 0.0, last)
        low = jnp.floor(place).astype(jnp.int32)
        part = place - low
    else:
        points = jnp.stack([jnp.asarray(point, jnp.float32) for point in at])
        low = jnp.maximum(jnp.sum(passed(progress, points)) - 1, 0)
        width = points[jnp.minimum(low + 1, last)] - points[low]
        part = jnp.clip((progress - points[low]) / above_zero(width), 0.0, 1.0)
    return (1.0 - part) * values[low] + part * values[jnp.minimum(low + 1, last)]


def polynomial(progress: jax.Array, power: float = 2.0, end: float = 0.0) -> jax.Array:
    """A power of what is left: end + (1 - end) (1 - t) ** power."""
    return end + (1.0 - end) * jnp.power(1.0 - progress, power)


def rex(progress: jax.Array, end: float = 0.0) -> jax.Array:
    """Reflected exponential: end + (1 - end) (1 - t) / (1/2 + (1 - t) / 2).

    High for long, then steeply down. Chen, Wolfe and Kyrillidis 2022, REX, whose `end`
    is 0.
    """
    left = 1.0 - progress
    return end + (1.0 - end) * left / (0.5 + 0.5 * left)


def step(
    progress: jax.Array, at: Fractions = (0.5, 0.75), factor: float = 0.1
) -> jax.Array:
    """The staircase of He et al. 2016: factor ** (boundaries passed)."""
    stairs = sum(jnp.where(passed(progress, boundary), 1.0, 0.0) for boundary in at)
    return jnp.power(jnp.float32(factor), stairs)


def warmup_constant(progress: jax.Array, warmup: Fraction = 0.05) -> jax.Array:
    """Up in a line to `warmup`, then 1."""
    return warmed(progress, warmup, jnp.ones_like(progress))


def warmup_cosine(
    progress: jax.Array, warmup: Fraction = 0.05, end: float = 0.0
) -> jax.Array:
    """Up in a line to `warmup`, then half a cosine down to `end`."""
    return warmed(progress, warmup, cosine(since(progress, warmup), end))


def warmup_linear(
    progress: jax.Array, warmup: Fraction = 0.05, end: float = 0.0
) -> jax.Array:
    """Up in a line to `warmup`, then down in a line to `end`."""
    return warmed(progress, warmup, linear(since(progress, warmup), 1.0, end))


def wsd(
    progress: jax.Array,
    warmup: Fraction = 0.05,
    decay: Fraction = 0.2,
    end: float = 0.0,
) -> jax.Array:
    """Warmup, stable, decay: up in a line, 1, and down in a line over the last `decay`.

    Hu et al. 2024, MiniCPM, whose decay is exponential; here it is linear, as in
    Haegele et al. 2024.
    """
    return warmed(progress, warmup, linear(since(progress, 1.0 - decay), 1.0, end))
