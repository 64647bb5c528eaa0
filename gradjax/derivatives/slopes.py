"""Slopes of a loss along directions in one leaf, from differences of its values.

Along a direction d the slope is (f(x + t d) - f(x - t d)) / 2t. Its truncation error is
t^2 f''' / 6 and its rounding error eps f / t; the sum is smallest near t = eps^(1/3).
Six steps t around this value are tried. The slope of the two neighbouring steps that
agree best is used, and their disagreement is its uncertainty (Ridders 1982).
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.types import Params

FACTORS = 4.0 ** np.arange(2, -4, -1)  # steps / eps^(1/3), the longest step first


class Slope(NamedTuple):
    """The slope along one direction, per unit of length."""

    where: str
    gradient: float
    difference: float
    uncertainty: float  # the uncertainty of `difference`


def values_along(
    value: Callable[..., Any],
    params: Params,
    direction: Params,
    steps: jax.Array,
    *rest: Any,
) -> jax.Array:
    """Computes the loss at +t for each step t, at 0, and at each -t: f[2 steps + 1]."""

    def at(t: jax.Array) -> Any:
        moved = jax.tree.map(lambda x, d: x + t * d, params, direction)
        return value(moved, *rest)

    return jax.lax.map(at, jnp.concatenate([steps, jnp.zeros(1), -steps]))


def directions(
    leaf: np.ndarray, num_directions: int, rng: np.random.Generator
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (place, direction with the leaf's magnitude) of each slope to check."""
    typical = _typical(leaf)
    scale = np.maximum(np.abs(leaf), typical)
    is_small = leaf.size <= 2 * num_directions
    count = leaf.size if is_small else num_directions
    for flat in sorted(rng.choice(leaf.size, count, replace=False) if count else ()):
        direction = np.zeros_like(leaf)
        direction.flat[flat] = scale.flat[flat]
        yield place(np.unravel_index(flat, leaf.shape)), direction
    for _ in range(0 if is_small else num_directions):
        yield "along a random direction", scale * rng.choice([-1.0, 1.0], leaf.shape)


def steepest(leaf: np.ndarray, grad: np.ndarray) -> np.ndarray | None:
    """Returns the direction of the gradient with the leaf's magnitude; None at 0."""
    rms = float(np.sqrt(np.mean(grad**2))) if grad.size else 0.0
    if not 0.0 < rms < np.inf:
        return None
    return grad * (_typical(leaf) / rms)


def in_leaf(params: Params, index: int, direction: np.ndarray) -> Params:
    """Returns a tree with the direction in one leaf and zeros in the others."""
    leaves, treedef = jax.tree.flatten(params)
    moved = [jnp.zeros_like(leaf) for leaf in leaves]
    moved[index] = jnp.asarray(direction, float)
    return jax.tree.unflatten(treedef, moved)


def slope_of(
    where: str, grad: np.ndarray, direction: np.ndarray, values: np.ndarray, eps: float
) -> Slope:
    """Computes a slope twice: from the gradient, and from values of the loss."""
    steps, length = np.cbrt(eps) * FACTORS, float(np.linalg.norm(direction))
    difference, uncertainty = _difference(values.astype(np.float64), steps, eps)
    gradient = float(np.vdot(grad, direction))
    return Slope(where, gradient / length, difference / length, uncertainty / length)


def place(index: Any) -> str:
    """Returns the place of an element in its leaf, for a line of the table."""
    return f"at {[int(i) for i in index]}" if len(index) else "here"


def _typical(leaf: np.ndarray) -> float:
    """Returns the magnitude of a leaf's elements, at most 1; 1 for zeros."""
    return min(float(np.sqrt(np.mean(leaf**2))) if leaf.size else 0.0, 1.0) or 1.0


def _difference(
    values: np.ndarray, steps: np.ndarray, eps: float
) -> tuple[float, float]:
    """Returns the slope at 0 of the values at (+t, 0, -t), and its uncertainty."""
    count = len(steps)
    up, here, down = values[:count], values[count], values[count + 1 :]
    with np.errstate(invalid="ignore"):
        ahead, behind = (up - here) / steps, (here - down) / steps
        central, gap = (ahead + behind) / 2, np.abs(ahead - behind) / 2
        rounding = 4 * eps * np.maximum(np.abs(up), np.abs(down)) / steps
        errors = np.abs(np.diff(central)) + rounding[1:]
    best = int(np.argmin(np.where(np.isfinite(errors), errors, np.inf)))
    if not np.isfinite(errors[best]):
        return np.nan, 0.0
    # The gap of a smooth function is proportional to t; a gap left at t = 0 is a kink.
    kink = max(0.0, (4 * gap[best + 1] - gap[best]) / 3)
    return float(central[best + 1]), float(2 * errors[best] + kink)
