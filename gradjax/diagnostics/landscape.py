"""Losses on lines and planes through the parameters, and barriers between two runs.

    on a line       L(w + a d)
    on a plane      L(w + a d + b e)
    between runs    L((1 - a) u + a v)

`directions.random_direction` draws a direction d, and `trajectory.principal_plane`
finds the two of a path.

All of these are computed in chunks by one compiled function, which is compiled again
for another loss (a function) or number of points, and not for other parameters.
Differences of parameters and sums are at least float32.

Sources: Goodfellow et al. 2015, Qualitatively Characterizing Neural Network
Optimization Problems (the line between two points); Li et al. 2018, Visualizing the
Loss Landscape of Neural Nets (the plane); Frankle et al. 2020, Linear Mode Connectivity
and the Lottery Ticket Hypothesis, and Entezari et al. 2022, The Role of Permutation
Invariance in Linear Mode Connectivity of Neural Networks (the barrier).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradjax.counts import as_whole
from gradjax.diagnostics.directions import accurate, check_alike
from gradjax.errors import Refusal
from gradjax.own_code import named_errors
from gradjax.types import Params

# Points that are computed together. On 2 CPU cores a plane of 441 points with 1,257
# images and the network 64-128-10 took 190 ms with chunks of 1, 151 with 4, 190 with 8
# and 307 with 16; the small CNN with 100 images 216, 193, 230 and 555. Accelerators
# were not measured.
_CPU_CHUNK, _CHUNK = 4, 16

Loss = Callable[..., Any]  # (params, *args) -> f[], or a tuple that begins with it


class Barrier(NamedTuple):
    """The loss on the line between two parameter sets.

    Attributes:
      height: f[], the largest height of the loss above the chord, at least 0; NaN if a
        loss is NaN or if the loss of an end is not finite.
      position: f[], where it is, in [0, 1].
      positions: f[points], from 0 to 1.
      losses: f[points].
    """

    height: jax.Array
    position: jax.Array
    positions: jax.Array
    losses: jax.Array


def line(
    loss: Loss,
    params: Params,
    direction: Params,
    positions: Any,
    *args: Any,
    chunk: int | None = None,
) -> jax.Array:
    """Computes the loss on a line: L(w + a d) for each position a.

    Args:
      loss: (params, *args) -> f[], or a tuple that begins with it. It is static, so a
        function that is made anew at each call is compiled at each call.
      params: w.
      direction: d, a pytree like the parameters.
      positions: f[points].
      *args: the further arguments of the loss, such as a batch.
      chunk: the number of points that are computed together, from 1; the memory grows
        with it. None: 4 on a CPU, else 16.

    Returns:
      f[points], at least float32.

    Raises:
        Refusal: what `plane` refuses.
    """
    coordinates = _axis(positions, "positions")[:, None]
    return _at(loss, _moved, (params, (direction,)), coordinates, args, chunk)


def plane(
    loss: Loss,
    params: Params,
    directions: tuple[Params, Params],
    axes: tuple[Any, Any],
    *args: Any,
    chunk: int | None = None,
) -> jax.Array:
    """Computes the loss on a grid in a plane: L(w + a d + b e).

    Args:
      loss: see `line`.
      params: w.
      directions: (d, e), pytrees like the parameters.
      axes: the positions (a, b): f[columns] and f[rows].
      *args: the further arguments of the loss, such as a batch.
      chunk: see `line`.

    Returns:
      f[rows, columns], at least float32.

    Raises:
        Refusal: directions whose structure or shapes are not those of the parameters,
            positions that are not f[points], a chunk that is no positive whole number,
            or a loss that fails or gives something else than one float.
    """
    xs, ys = (_axis(axis, "axes") for axis in axes)
    x, y = jnp.meshgrid(xs, ys)
    coordinates = jnp.stack([x.ravel(), y.ravel()], axis=1)
    found = _at(loss, _moved, (params, tuple(directions)), coordinates, args, chunk)
    return found.reshape(len(ys), len(xs))


def between(
    loss: Loss,
    start: Params,
    end: Params,
    positions: Any,
    *args: Any,
    chunk: int | None = None,
) -> jax.Array:
    """Computes the loss on the line between two points: L((1 - a) u + a v).

    At the positions 0 and 1 the parameters are exactly `start` and `end`.

    Args:
      loss: see `line`.
      start: u.
      end: v, a pytree like u.
      positions: a, f[points]; they may lie outside of [0, 1].
      *args: the further arguments of the loss, such as a batch.
      chunk: see `line`.

    Returns:
      f[points], at least float32.

    Raises:
        Refusal: what `plane` refuses.
    """
    coordinates = _axis(positions, "positions")[:, None]
    return _at(loss, _mixed, (start, (end,)), coordinates, args, chunk)


def barrier(
    loss: Loss,
    start: Params,
    end: Params,
    *args: Any,
    num_points: int = 21,
    chunk: int | None = None,
) -> Barrier:
    """Computes the barrier of the loss on the line between two parameter sets.

        max over a in [0, 1] of L((1 - a) u + a v) - ((1 - a) L(u) + a L(v))

    Two runs are linearly connected if it is about 0. The maximum is over equally spaced
    positions, with both ends, so it is at least 0 and at most the true one.

    Args:
      loss: see `line`.
      start: u.
      end: v, a pytree like u.
      *args: the further arguments of the loss, such as a batch.
      num_points: the number of positions, from 2.
      chunk: see `line`.

    Raises:
        Refusal: what `plane` refuses, or fewer than two points.
    """
    count = as_whole(num_points)
    if count is None or count < 2:
        raise Refusal(f"num_points={num_points!r}: expected a whole number from 2")
    positions = jnp.linspace(0.0, 1.0, count)
    losses = between(loss, start, end, positions, *args, chunk=chunk)
    chord = losses[0] + positions.astype(losses.dtype) * (losses[-1] - losses[0])
    # At the last position the chord is rounded; the height there is 0, or NaN.
    heights = (losses - chord).at[-1].set(losses[-1] - losses[-1])
    highest = jnp.argmax(heights)
    return Barrier(heights[highest], positions[highest], positions, losses)


def _at(
    loss: Loss,
    place: Callable[..., Params],
    trees: tuple[Params, tuple[Params, ...]],
    coordinates: jax.Array,
    args: tuple[Any, ...],
    chunk: int | None,
) -> jax.Array:
    """Checks the arguments, and computes the loss at each coordinate: f[points]."""
    params, others = trees
    for other in others:
        check_alike(other, params, "a direction or an end", "the parameters")
    usual = _CPU_CHUNK if jax.default_backend() == "cpu" else _CHUNK
    size = usual if chunk is None else as_whole(chunk)
    if size is None or size < 1:
        raise Refusal(f"chunk={chunk!r}: expected a whole number from 1")
    with named_errors("the loss fails"):
        seen = jax.eval_shape(partial(_value, loss), params, *args)
    if seen.shape or not jnp.issubdtype(seen.dtype, jnp.floating):
        raise Refusal(f"the loss gives {seen.dtype}{list(seen.shape)}: expected f[]")
    size = min(size, len(coordinates))
    return _compiled(loss, place, size, trees, coordinates, args)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _compiled(
    loss: Loss,
    place: Callable[..., Params],
    size: int,
    trees: Any,
    coordinates: jax.Array,
    args: tuple[Any, ...],
) -> jax.Array:
    def value(coordinate: jax.Array) -> jax.Array:
        return _value(loss, place(*trees, coordinate), *args)

    # The last chunk is filled up, so that every point is computed by the same code: in
    # a shorter chunk the last bits could differ.
    count = len(coordinates)
    filled = jnp.pad(coordinates, ((0, -count % size), (0, 0)), mode="edge")
    return jax.lax.map(value, filled, batch_size=size)[:count]


def _value(loss: Loss, params: Params, *args: Any) -> jax.Array:
    """Returns the loss alone, at least float32."""
    out = loss(params, *args)
    value = jnp.asarray(out[0] if isinstance(out, tuple) else out)
    is_float = jnp.issubdtype(value.dtype, jnp.floating)
    return value.astype(accurate(value)) if is_float else value


def _moved(
    params: Params, directions: tuple[Params, ...], coordinate: jax.Array
) -> Params:
    """Returns w + sum_k a_k d_k, in the type of w."""

    def leaf(w: Any, *ds: Any) -> jax.Array:
        dtype = jnp.result_type(accurate(w), *map(accurate, ds))
        moves = [
            jnp.asarray(d, dtype) * a.astype(dtype)
            for d, a in zip(ds, coordinate, strict=True)
        ]
        return (jnp.asarray(w, dtype) + sum(moves)).astype(jnp.asarray(w).dtype)

    return jax.tree.map(leaf, params, *directions)


def _mixed(start: Params, ends: tuple[Params], coordinate: jax.Array) -> Params:
    """Returns (1 - a) u + a v, which is exactly u at a = 0 and v at a = 1."""

    def leaf(u: Any, v: Any) -> jax.Array:
        dtype = jnp.result_type(accurate(u), accurate(v))
        low, high, a = (jnp.asarray(x, dtype) for x in (u, v, coordinate[0]))
        step = high - low
        mixed = jnp.where(a < 0.5, low + a * step, high - (1.0 - a) * step)
        return mixed.astype(jnp.asarray(u).dtype)

    return jax.tree.map(leaf, start, *ends)


def _axis(positions: Any, name: str) -> jax.Array:
    found = jnp.asarray(positions, float)
    if found.ndim != 1 or not found.size:
        raise Refusal(f"{name} has shape {found.shape}: expected f[points]")
    return found
