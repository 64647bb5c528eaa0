"""Difference quotients along a line: their errors, measured and in theory.

The slope at the point p along the direction d, of length 1, is d . gradient(p). A
central difference estimates it as (f(p + h d) - f(p - h d)) / 2h, a forward one as
(f(p + h d) - f(p)) / h. Derivatives are along d, and eps is the spacing of floats at 1:

    truncation  h^2 |f'''| / 6 of a central difference, h |f''| / 2 of a forward one
    rounding    eps S / 2h, with S = |f| + sum |z df/dz| over the coordinates z

Rounding a number of size s to a float changes it by up to eps s / 2. So f has an error
of up to eps |f| / 2. Each coordinate z has an error of up to eps |z| / 2, which changes
f by that times df/dz. So each of the two values of f has an error of up to eps S / 2,
and their difference is divided by 2h. Rounding inside f is not counted. The sum of both
errors is smallest at h = (3 eps S / 2 |f'''|)^(1/3).

Source: Press, Teukolsky, Vetterling and Flannery, Numerical Recipes, 5.7.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.errors import Refusal

_DOMINATES = 20.0  # a fitted error must exceed all others by this factor, in theory
_MIN_POINTS = 10  # the fewest points of a fit


class Line(NamedTuple):
    """A loss along a straight line, computed in float64."""

    loss: Callable[[jax.Array], Any]  # params f[dim] -> f[]
    point: np.ndarray  # f64[dim]; like direction and steps, exact in float32 as well
    direction: np.ndarray  # f64[dim], of length 1
    steps: np.ndarray  # f64[steps], increasing
    derivatives: np.ndarray  # f64[6]: along the direction, of order 0 to 5
    sizes: np.ndarray  # f64[steps]: the larger S of the points p + h d and p - h d

    @property
    def truncation(self) -> np.ndarray:
        """The truncation error of a central difference, in theory: f64[steps]."""
        return self.steps**2 * abs(self.derivatives[3]) / 6.0


class Quotients(NamedTuple):
    """The errors in one precision, over the steps."""

    name: str  # float32 or float64
    central: np.ndarray  # f64[steps]: |central difference - slope|
    forward: np.ndarray  # f64[steps]: |forward difference - slope|
    typical: np.ndarray  # f64[steps]: the running median of `central`
    typical_forward: np.ndarray  # f64[steps]: the running median of `forward`
    rounding: np.ndarray  # f64[steps]: the bound of the rounding error in theory
    best: int  # the index of the step at which `typical` is smallest
    gradient: float  # |d . jax.grad in this precision - slope|


class Exponents(NamedTuple):
    """Powers of h in the errors; None if an error dominates at fewer than 10 steps."""

    rounding: float | None  # -1 in theory
    truncation: float | None  # of central differences; 2 in theory
    forward: float | None  # of forward differences; 1 in theory


def line(
    loss: Callable[[jax.Array], Any],
    point: Any,
    direction: Any,
    steps: Any,
) -> Line:
    """Computes a loss along a line in float64; needs `jax.enable_x64(True)`.

    Args:
      loss: params f[dim] -> f[], smooth.
      point: f[dim].
      direction: f[dim], of any length except 0.
      steps: f[steps], increasing, above 0.

    Returns:
      A Line. Its point, direction and steps are rounded to float32, so that they are
      the same in both precisions.

    Raises:
        Refusal: x64 is not enabled.
    """
    if jnp.zeros(()).dtype != np.float64:
        raise Refusal("a line is exact in float64 only: use jax.enable_x64(True)")
    unit = np.asarray(direction) / np.linalg.norm(direction)
    start, unit, steps = map(_in_float32, (point, unit, steps))

    def size(t: jax.Array) -> jax.Array:
        params = start + t * unit
        value, grads = jax.value_and_grad(loss)(params)
        return jnp.abs(value) + jnp.abs(params * grads).sum()

    along: list[Callable[..., Any]] = [lambda t: loss(start + t * unit)]
    for _ in range(5):
        along.append(jax.grad(along[-1]))
    derivatives = jax.jit(lambda t: jnp.stack([order(t) for order in along]))(0.0)
    sides = jax.jit(jax.vmap(size))(np.concatenate([steps, -steps]))
    sizes = np.asarray(sides).reshape(2, -1).max(axis=0)
    return Line(loss, start, unit, steps, np.asarray(derivatives), sizes)


def quotients(line: Line, dtype: Any) -> Quotients:
    """Computes the errors in one precision, relative to the slope in float64.

    Args:
      line: from `line`.
      dtype: np.float32, or np.float64 under `jax.enable_x64(True)`.
    """
    start, unit, steps = (
        jnp.asarray(values, dtype)
        for values in (line.point, line.direction, line.steps)
    )

    @jax.jit
    def computed(h: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        at = jax.vmap(lambda t: line.loss(start + t * unit))
        ahead, behind, here = at(h), at(-h), at(0.0 * h)
        central, forward = (ahead - behind) / (2.0 * h), (ahead - here) / h
        return central, forward, jax.grad(line.loss)(start)

    central, forward, grads = (np.asarray(x, np.float64) for x in computed(steps))
    slope, eps = line.derivatives[1], float(np.finfo(dtype).eps)
    typical = running_median(abs(central - slope), line.steps)
    return Quotients(
        name=np.dtype(dtype).name,
        central=abs(central - slope),
        forward=abs(forward - slope),
        typical=typical,
        typical_forward=running_median(abs(forward - slope), line.steps),
        rounding=eps / 2.0 * line.sizes / line.steps,
        best=int(np.argmin(typical)),
        gradient=float(abs(grads @ line.direction - slope)),
    )


def running_median(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Computes the median over half a decade of steps: the typical size of an error.

    A single rounding error is as good as random.

    Args:
      values: f[steps].
      steps: f[steps], in a geometric sequence.
    """
    decades = math.log10(steps[-1] / steps[0])
    half = max(1, round((len(steps) - 1) / decades / 4.0))
    padded = np.pad(values, half, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    return np.median(windows, axis=1)


def exponents(line: Line, one: Quotients) -> Exponents:
    """Fits powers of h, each where its error is 20 times all others in theory."""
    h, (_, slope, second, _, fourth, fifth) = line.steps, abs(line.derivatives)
    noise, eps = one.rounding, float(np.finfo(one.name).eps)
    truncation = line.truncation
    is_moved = h > 10.0 * eps * abs(line.point).max()  # else p + h d rounds to p
    is_seen = noise < slope / 2.0  # else f(p + h d) rounds to f(p)
    is_level = line.sizes < 1.1 * line.sizes[0]  # else S depends on h
    is_short = is_moved & is_seen & is_level & (noise > _DOMINATES * truncation)
    is_long = truncation > _DOMINATES * (noise + h**4 * fifth / 120.0)
    others = 2.0 * noise + truncation + h**3 * fourth / 24.0
    is_forward = h * second / 2.0 > _DOMINATES * others
    return Exponents(
        _exponent(h, one.central, is_short),
        _exponent(h, one.central, is_long),
        _exponent(h, one.forward, is_forward),
    )


def best_in_theory(line: Line, one: Quotients) -> float | None:
    """Returns (3 eps S / 2 |f'''|)^(1/3); None if f''' is 0 or S depends much on h."""
    third, noise = abs(line.derivatives[3]), one.rounding[0] * line.steps[0]
    if third == 0.0:
        return None
    best = float(np.cbrt(3.0 * noise / third))
    is_level = np.interp(best, line.steps, line.sizes) < 2.0 * line.sizes[0]
    return best if is_level else None


def _exponent(steps: np.ndarray, errors: np.ndarray, part: np.ndarray) -> float | None:
    """Fits the slope of log error over log step; errors of 0 are left out."""
    part = part & (errors > 0.0)
    if part.sum() < _MIN_POINTS:
        return None
    return float(np.polyfit(np.log(steps[part]), np.log(errors[part]), 1)[0])


def _in_float32(values: Any) -> np.ndarray:
    """Rounds numbers to float32 and returns them in float64."""
    return np.asarray(values, np.float32).astype(np.float64)
