"""Compares a gradient along a short line with the change of the loss over the line.

    loss(x + t d) - loss(x - t d) = integral of gradient . d over the line

This holds for every loss that is continuous, also where its slope jumps, as that of a
network with relu does thousands of times on a short line. So it tells a wrong gradient
from a kink, which a difference quotient at one point cannot.

The integral is the mean of the gradient at the midpoints of n parts of the line. If the
total variation of the slope over the line is V, its error is at most V / 2n. The mean
of midpoints is exact for a part of the slope that is linear along the line, so this
part is first subtracted. V is estimated as the sum of the jumps that remain between
neighbouring midpoints, and V / n is used.

Values of the loss have rounding errors. Their standard deviation is measured as the
scatter of the values at points so close that the loss is a straight line there.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.types import Params

_NUM_PARTS = 16
_CLOSE_STEP = 2.0**-4  # of the shortest step; between points close together
_SIGMAS = 4.0


class LineCheck(NamedTuple):
    """The slopes along one direction, per unit of length, for the best step."""

    gradient: float  # the mean of the gradient over the line
    difference: float
    uncertainty: float  # of gradient - difference
    is_refuted: bool  # no rounding error and no kink explains the difference


class Measured(NamedTuple):
    """Measurements along one direction, for each step t."""

    slopes: jax.Array  # f[steps, parts]: gradient . (x+ - x-) at each midpoint
    sizes: jax.Array  # f[steps]: sum |gradient (x+ - x-)|, the scale of its rounding
    changes: np.ndarray  # f64[steps]: loss(x+) - loss(x-)
    close: np.ndarray  # f[points]: values of the loss near the point


def close_steps(steps: np.ndarray) -> np.ndarray:
    """Returns the distances, both ways, at which the rounding error is measured.

    There are as many as `steps`, so that the program is the same.
    """
    return steps[-1] * _CLOSE_STEP * np.arange(len(steps), 0, -1)


def measured(
    values: np.ndarray, close: np.ndarray, slopes: tuple[jax.Array, jax.Array]
) -> Measured:
    """Joins the measurements along one direction.

    Args:
      values: f[2 steps + 1], at +t for each step t, at 0, and at each -t.
      close: the same at the distances of `close_steps`.
      slopes: what `slopes_along` returned.
    """
    count = len(values) // 2
    ordered = np.concatenate(
        [close[:count], close[count : count + 1], close[:count:-1]]
    )
    changes = np.asarray(values[:count], np.float64) - values[count + 1 :]
    return Measured(*slopes, changes, ordered)


def slopes_along(
    value: Callable[..., Any],
    params: Params,
    direction: Params,
    steps: jax.Array,
    *rest: Any,
) -> tuple[jax.Array, jax.Array]:
    """Computes the slope in the middle of each part of lines of several lengths.

    Args:
      value: (params, *rest) -> f[].
      params: a pytree, the centre of the lines.
      direction: a pytree of the same structure.
      steps: f[steps], half the length of each line in units of the direction.
      *rest: further arguments of `value`.

    Returns:
      The fields `slopes` and `sizes` of Measured.
    """

    def moved(t: jax.Array) -> Params:
        return jax.tree.map(lambda x, d: x + t * d, params, direction)

    def at(place: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        t, part = place
        grads = jax.grad(value)(moved(t * part), *rest)
        # The move is rounded. The difference of its ends is exact.
        move = jax.tree.map(jnp.subtract, moved(t), moved(-t))
        products = jax.tree.leaves(jax.tree.map(jnp.multiply, grads, move))
        sums = jnp.stack([jnp.stack([x.sum(), abs(x).sum()]) for x in products])
        slope, size = sums.sum(axis=0)
        return slope, size

    parts = (2.0 * jnp.arange(_NUM_PARTS) + 1.0) / _NUM_PARTS - 1.0
    places = jnp.repeat(steps, _NUM_PARTS), jnp.tile(parts, len(steps))
    slopes, sizes = (x.reshape(len(steps), -1) for x in jax.lax.map(at, places))
    return slopes, sizes.max(axis=1)


def compare(
    measured: Measured, steps: np.ndarray, length: float, eps: float, tolerance: float
) -> LineCheck | None:
    """Compares the gradient with the loss, at the step with the smallest uncertainty.

    A gradient is refuted only where the two steps with the smallest uncertainties agree
    that it is wrong, and on its sign.

    Args:
      measured: the measurements.
      steps: f[steps].
      length: the length of the direction.
      eps: the spacing of floats at 1.
      tolerance: the largest relative error of a right slope.

    Returns:
      The slopes; None if fewer than two steps have finite values.
    """
    slopes, sizes, changes, close = (np.asarray(x, np.float64) for x in measured)
    units = 2.0 * steps * length
    gradient, difference = slopes.mean(axis=1) / units, changes / units
    bends = slopes - _linear(slopes)
    variation = np.abs(np.diff(bends, axis=1)).sum(axis=1) / _NUM_PARTS
    rounding = _SIGMAS * _noise(close, eps) + 16.0 * eps * sizes
    uncertainty = (variation + rounding) / units
    uncertainty = np.where(np.isfinite(gradient + difference), uncertainty, np.inf)
    best, second = np.argsort(uncertainty, kind="stable")[:2]
    if not np.isfinite(uncertainty[second]):
        return None
    errors = gradient - difference
    size = np.maximum(np.abs(gradient), np.abs(difference))
    is_beyond = np.abs(errors) > tolerance * size + 2.0 * uncertainty
    is_refuted = is_beyond[best] and is_beyond[second]
    is_refuted = is_refuted and errors[best] * errors[second] > 0.0
    return LineCheck(
        float(gradient[best]),
        float(difference[best]),
        float(uncertainty[best]),
        bool(is_refuted),
    )


def _linear(slopes: np.ndarray) -> np.ndarray:
    """Returns the linear part of each row, whose mean is 0: f64[steps, parts]."""
    places = np.arange(slopes.shape[1]) - (slopes.shape[1] - 1) / 2.0
    with np.errstate(invalid="ignore"):
        return np.outer(slopes @ places / (places @ places), places)


def _noise(close: np.ndarray, eps: float) -> float:
    """Returns the standard deviation of the rounding error of the loss."""
    points = np.arange(len(close), dtype=float)
    if not np.isfinite(close).all():
        return np.inf
    line = np.polyfit(points, close - close[0], 1)
    scatter = np.std(close - close[0] - np.polyval(line, points), ddof=2)
    return max(1.5 * float(scatter), 0.5 * eps * float(np.abs(close).max()))
