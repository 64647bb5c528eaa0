"""Checks a gradient against differences of the loss, leaf by leaf.

Along a direction d the slope is (f(x + t d) - f(x - t d)) / 2t. Its truncation error is
t^2 f''' / 6 and its rounding error eps f / t; the sum is smallest near t = eps^(1/3).
Six steps t around this value are tried. The slope of the two neighbouring steps that
agree best is used, and their disagreement is its uncertainty (Ridders 1982).

At a kink, such as that of relu at 0, the slopes on the two sides differ for every step.
There, and where rounding hides the slope, the result of the check is "not decided".
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.counts import as_whole
from gradjax.errors import Refusal
from gradjax.problems.calling import arity
from gradjax.types import Batch, Key, Params

_CLOSE = 0.1  # a gradient with a larger relative error is never called right
_FACTORS = 4.0 ** np.arange(2, -4, -1)  # steps / eps^(1/3), the longest step first


class LeafCheck(NamedTuple):
    """The result of the check for one leaf."""

    name: str  # the path of the leaf, such as params['w']
    shape: tuple[int, ...]
    max_error: float  # the largest |gradient - difference|, along a unit direction
    max_relative_error: float  # max_error / the largest slope of the leaf
    is_right: bool
    is_decided: bool  # False: the differences are too inexact to tell right from wrong
    worst: str  # the place farthest beyond the allowed error, with both slopes


class GradientCheck(NamedTuple):
    """The results of the check for all leaves; its `str` is a table."""

    leaves: tuple[LeafCheck, ...]
    dtype: str  # the type of all computations

    @property
    def is_right(self) -> bool:
        """Whether the gradient of every leaf is right."""
        return all(leaf.is_right for leaf in self.leaves)

    def __str__(self) -> str:
        """Returns a line for each leaf, and a line that names the wrong leaves."""
        rows = [("leaf", "shape", "error", "relative", "")]
        for leaf in self.leaves:
            verdict = "right" if leaf.is_right else f"{_failure(leaf)} {leaf.worst}"
            errors = (f"{leaf.max_error:.1e}", f"{leaf.max_relative_error:.1e}")
            rows.append((leaf.name, str(leaf.shape), *errors, verdict))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        bad = [leaf for leaf in self.leaves if not leaf.is_right]
        named = ", ".join(f"{_failure(leaf).lower()} in {leaf.name}" for leaf in bad)
        said = f"In {self.dtype} the gradient is {named or 'right'}."
        return "\n".join([*lines, said])


def _failure(leaf: LeafCheck) -> str:
    return "WRONG" if leaf.is_decided else "NOT DECIDED"


class _Slope(NamedTuple):
    """The slope along one direction, per unit of length."""

    where: str
    gradient: float
    difference: float
    uncertainty: float  # the uncertainty of `difference`


def check_gradient(
    loss: Callable[..., Any],
    params: Params,
    batch: Batch = None,
    key: Key | None = None,
    *,
    num_directions: int = 16,
    tolerance: float | None = None,
    seed: int = 0,
) -> GradientCheck:
    """Compares jax.grad of a loss with central differences, leaf by leaf.

    It computes in float64 if x64 is enabled, which finds smaller errors, and otherwise
    in float32:

        with jax.enable_x64(True):
            print(gradjax.check_gradient(loss, params, batch))

    Args:
      loss: (params), (params, batch) or (params, batch, key) -> f[], or (f[], aux);
        a pure function, because it is jitted.
      params: a pytree of floats.
      batch: the second argument of the loss.
      key: the third argument, the same at every point; None: jax.random.key(0).
      num_directions: a leaf of up to twice this size is checked in every coordinate; a
        larger one in this number of coordinates and along this number of random
        directions, each of which changes all elements of the leaf.
      tolerance: the largest relative error of a right slope, in addition to the
        uncertainty of the differences; None: 1e-6 in float64, 1e-3 in float32.
      seed: the seed of the choice of coordinates and directions.

    Returns:
      A GradientCheck. Print it, or read its `is_right`.

    Raises:
        Refusal: a leaf that is not of floats, a loss that is not one finite float or
            takes other arguments, or a number of directions that is not positive.
    """
    count = as_whole(num_directions)
    if count is None or count < 1:
        raise Refusal(f"num_directions={num_directions!r}: must be a positive number")
    num_directions = count
    _check_leaves(params)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), params)
    value, rest = partial(_value, loss), _arguments(loss, batch, key)
    eps = _checked_eps(value, params, rest)
    steps = np.cbrt(eps) * _FACTORS
    usual = 1e-6 if eps < 1e-10 else 1e-3
    values_along = jax.jit(partial(_values_along, value))
    rng = np.random.default_rng(seed)

    def check(index: int, name: str, leaf: np.ndarray, grad: np.ndarray) -> LeafCheck:
        slopes = []
        for where, direction in _directions(leaf, num_directions, rng):
            tree = _in_leaf(params, index, direction)
            values = values_along(params, tree, steps, *rest)
            slopes.append(_slope(where, grad, direction, np.asarray(values), eps))
        return _verdict(name, grad, slopes, usual if tolerance is None else tolerance)

    names = _names(params)
    leaves, grads = map(_on_host, (params, jax.jit(jax.grad(value))(params, *rest)))
    checks = map(check, range(len(names)), names, leaves, grads)
    return GradientCheck(tuple(checks), jnp.asarray(0.0).dtype.name)


def _check_leaves(params: Params) -> None:
    leaves = jax.tree.leaves(params)
    if not leaves:
        raise Refusal("params without a leaf: there is no gradient to check")
    for name, leaf in zip(_names(params), leaves, strict=True):
        dtype = jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise Refusal(f"{name} is {dtype}: only floats have a gradient to check")


def _names(params: Params) -> list[str]:
    paths = jax.tree.leaves_with_path(params)
    return [f"params{jax.tree_util.keystr(path)}" for path, _ in paths]


def _on_host(tree: Any) -> list[np.ndarray]:
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]


def _arguments(loss: Callable[..., Any], batch: Batch, key: Key | None) -> tuple:
    """Returns the arguments of the loss after the parameters, as many as it needs."""
    given = 3 if key is not None else 2 if batch is not None else 1
    needed, most = arity(loss)
    if needed > 3 or given > most:
        takes = f"{needed}" if needed == most else f"{needed} to {most}"
        raise Refusal(
            f"a loss that takes {takes} arguments, called with {max(given, 3)}:"
            " expected (params), (params, batch) or (params, batch, key)"
        )
    used_key = jax.random.key(0) if key is None else key
    return (batch, used_key)[: max(given, needed) - 1]


def _value(loss: Callable[..., Any], params: Params, *rest: Any) -> Any:
    """Returns the loss alone, also of a function that returns (loss, aux)."""
    out = loss(params, *rest)
    return out[0] if isinstance(out, tuple) and len(out) == 2 else out


def _checked_eps(value: Callable[..., Any], params: Params, rest: tuple) -> float:
    """Returns the eps of all computations; refuses a loss that is no finite float."""
    seen = jax.eval_shape(value, params, *rest)
    is_array = isinstance(seen, jax.ShapeDtypeStruct)
    if not is_array or seen.shape or not jnp.issubdtype(seen.dtype, jnp.floating):
        found = f"{seen.dtype}{list(seen.shape)}" if is_array else type(seen).__name__
        raise Refusal(f"the loss gives {found}: expected one float, or (float, aux)")
    number = float(jax.jit(value)(params, *rest))
    if not np.isfinite(number):
        raise Refusal(f"the loss is {number} at these parameters: nothing to compare")
    dtypes = (seen.dtype, jnp.asarray(0.0).dtype)
    return max(float(jnp.finfo(dtype).eps) for dtype in dtypes)


def _values_along(
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


def _directions(
    leaf: np.ndarray, num_directions: int, rng: np.random.Generator
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (place, direction with the leaf's magnitude) of each slope to check."""
    typical = min(float(np.sqrt(np.mean(leaf**2))) if leaf.size else 0.0, 1.0) or 1.0
    scale = np.maximum(np.abs(leaf), typical)
    is_small = leaf.size <= 2 * num_directions
    count = leaf.size if is_small else num_directions
    for flat in sorted(rng.choice(leaf.size, count, replace=False) if count else ()):
        direction = np.zeros_like(leaf)
        direction.flat[flat] = scale.flat[flat]
        yield _place(np.unravel_index(flat, leaf.shape)), direction
    for _ in range(0 if is_small else num_directions):
        yield "along a random direction", scale * rng.choice([-1.0, 1.0], leaf.shape)


def _place(index: Any) -> str:
    return f"at {[int(i) for i in index]}" if len(index) else "here"


def _in_leaf(params: Params, index: int, direction: np.ndarray) -> Params:
    """Returns a tree with the direction in one leaf and zeros in the others."""
    leaves, treedef = jax.tree.flatten(params)
    moved = [jnp.zeros_like(leaf) for leaf in leaves]
    moved[index] = jnp.asarray(direction, float)
    return jax.tree.unflatten(treedef, moved)


def _slope(
    where: str, grad: np.ndarray, direction: np.ndarray, values: np.ndarray, eps: float
) -> _Slope:
    """Computes a slope twice: from the gradient, and from values of the loss."""
    steps, length = np.cbrt(eps) * _FACTORS, float(np.linalg.norm(direction))
    difference, uncertainty = _difference(values.astype(np.float64), steps, eps)
    gradient = float(np.vdot(grad, direction))
    return _Slope(where, gradient / length, difference / length, uncertainty / length)


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


def _verdict(
    name: str, grad: np.ndarray, slopes: list[_Slope], tolerance: float
) -> LeafCheck:
    """Returns the check of one leaf from the slopes along all its directions."""
    is_bad = ~np.isfinite(grad)
    if is_bad.any():
        index = tuple(np.argwhere(is_bad)[0])
        worst = f"{_place(index)}: the gradient is {grad[index]}"
        return LeafCheck(name, grad.shape, np.inf, np.inf, False, True, worst)
    if not slopes:
        return LeafCheck(name, grad.shape, 0.0, 0.0, True, True, "empty")
    sizes = np.asarray([max(abs(s.gradient), abs(s.difference)) for s in slopes])
    errors = np.asarray([abs(s.gradient - s.difference) for s in slopes])
    errors = np.where(np.isnan(errors), np.inf, errors)  # no difference is finite
    excess = errors - tolerance * sizes - [s.uncertainty for s in slopes]
    worst, largest = slopes[int(np.argmax(excess))], float(errors.max())
    relative = largest / sizes.max() if largest else 0.0
    is_within = bool(excess.max() <= 0.0)
    is_close = relative <= _CLOSE  # else only the uncertainty puts it within bounds
    return LeafCheck(
        name,
        grad.shape,
        largest,
        float(relative),
        is_within and is_close,
        is_close or not is_within,
        f"{worst.where}: gradient {worst.gradient:.6g}, difference"
        f" {worst.difference:.6g}",
    )
