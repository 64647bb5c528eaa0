"""Shapes that combine other shapes, each over its own part of the run.

The progress of an inner shape goes from 0 to 1 over its part. PARTS gives the lengths
of the parts, with which the steps in the arguments of an inner shape are converted to
fractions of its part.
"""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradjax.errors import Refusal
from gradjax.schedules.arguments import Fraction, Fractions, Shape
from gradjax.schedules.progress import above_zero, is_past, within
from gradjax.schedules.shapes import piecewise


def warmup(progress: jax.Array, shape: Shape, fraction: Fraction = 0.05) -> jax.Array:
    """Rises linearly from 0 to the shape's first value, then follows the shape.

    The value is shape(0) t / fraction for t < fraction, and after that
    shape((t - fraction) / (1 - fraction)).

    Source: Goyal et al. 2017. Differs from the paper in that it starts at 0, and in
    that the shape begins after the warmup, so that its beginning is not cut off.
    """
    line = progress / above_zero(fraction) * shape(jnp.zeros_like(progress))
    after = shape(within(progress, fraction, 1.0))
    return jnp.where(progress < fraction, line, after)


def join(progress: jax.Array, *shapes: Shape, at: Fractions) -> jax.Array:
    """Follows one shape after another, each over its own part of the run.

    The part of shape k is [at[k - 1], at[k]), and its own progress there is
    (t - at[k - 1]) / (at[k] - at[k - 1]). The first part begins at 0, and the last one
    ends at 1.

    Args:
      progress: f32[], i / num_steps.
      *shapes: one shape or more.
      at: the beginning of every part except the first, as a fraction or a step; a tuple
        if there are several.
    """
    edges = (0.0, *_boundaries(at), 1.0)
    value = shapes[0](within(progress, *edges[:2]))
    for shape, low, high in zip(shapes[1:], edges[1:], edges[2:], strict=False):
        now = shape(within(progress, low, high))
        value = jnp.where(is_past(progress, low), now, value)
    return value


def _warmup_parts(fraction: float, **_: Any) -> tuple[float, ...]:
    return (1.0 - fraction,)


def _join_parts(shapes: tuple[Any, ...], at: Any) -> tuple[float, ...]:
    boundaries = _boundaries(at)
    if not shapes:
        raise Refusal("join needs shapes: join(linear(0, 1), cosine, at=0.1)")
    if len(boundaries) != len(shapes) - 1:
        raise Refusal(
            f"join of {len(shapes)} shapes needs {len(shapes) - 1} boundaries in at,"
            f" not {len(boundaries)}"
        )
    edges = (0.0, *boundaries, 1.0)
    return tuple(high - low for low, high in itertools.pairwise(edges))


def _piecewise_parts(values: Any, at: tuple[float, ...]) -> tuple[float, ...]:
    if len(at) not in (0, len(values)):
        raise Refusal(
            f"piecewise of {len(values)} values needs {len(values)} fractions in at,"
            f" not {len(at)}"
        )
    return ()


def _boundaries(at: Any) -> tuple[Any, ...]:
    return at if isinstance(at, tuple) else (at,)


# Shape -> function that checks whether its arguments are consistent and returns the
# length of each inner shape's part, as a fraction.
PARTS: dict[Callable[..., Any], Callable[..., tuple[float, ...]]] = {
    join: _join_parts,
    piecewise: _piecewise_parts,
    warmup: _warmup_parts,
}
