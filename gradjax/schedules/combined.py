"""Shapes made of shapes: each runs from 0 to 1 over its own part of the run.

A part's length is in PARTS, so that steps inside of a part become fractions of it.
"""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradjax.errors import Refusal
from gradjax.schedules.arguments import Fraction, Fractions, Shape
from gradjax.schedules.progress import above_zero, passed, within
from gradjax.schedules.shapes import piecewise


def warmup(progress: jax.Array, shape: Shape, fraction: Fraction = 0.05) -> jax.Array:
    """A line from 0 to the shape's first value, then the shape over the rest.

    shape(0) t / fraction, then shape((t - fraction) / (1 - fraction)).

    Goyal et al. 2017. Differs from the paper in that it starts at 0, and in that the
    shape is not cut off at its beginning.
    """
    line = progress / above_zero(fraction) * shape(jnp.zeros_like(progress))
    after = shape(within(progress, fraction, 1.0))
    return jnp.where(progress < fraction, line, after)


def join(progress: jax.Array, *shapes: Shape, at: Fractions) -> jax.Array:
    """One shape after another, each over its own part of the run.

    Shape k has [at[k - 1], at[k]), where it sees (t - at[k - 1]) / (at[k] - at[k - 1]);
    the first begins at 0, the last ends at 1.

    Args:
      progress: f32[], i / num_steps.
      *shapes: one or more.
      at: where each but the first begins: a fraction or a step, or a tuple of them.
    """
    edges = (0.0, *_boundaries(at), 1.0)
    value = shapes[0](within(progress, *edges[:2]))
    for shape, low, high in zip(shapes[1:], edges[1:], edges[2:], strict=False):
        now = shape(within(progress, low, high))
        value = jnp.where(passed(progress, low), now, value)
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


# Arguments that must fit together, in fractions -> the part of each shape inside.
PARTS: dict[Callable[..., Any], Callable[..., tuple[float, ...]]] = {
    join: _join_parts,
    piecewise: _piecewise_parts,
    warmup: _warmup_parts,
}
