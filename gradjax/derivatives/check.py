"""Checks a gradient against differences of the loss, leaf by leaf.

The slope along a direction is the difference of two values of the loss, divided by the
length of the step between them (`derivatives.slopes`).

A network with relu has so many kinks that these slopes may seem to contradict a right
gradient. So a contradiction is checked again along a line, where kinks do not matter
(`derivatives.integrals`), and only that check calls a gradient wrong. It is also made
once for each leaf along its gradient, where the slope is largest.

At a kink, such as that of relu at 0, the slopes on the two sides differ for every step.
There, and where rounding hides the slope, the result of the check is "not decided".
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.counts import as_whole
from gradjax.derivatives import integrals
from gradjax.derivatives.leaves import LeafCheck, LeafContext, check_leaf
from gradjax.derivatives.slopes import values_along
from gradjax.errors import Refusal
from gradjax.own_code import named_errors
from gradjax.problems.calling import arity
from gradjax.training.numbers import checked_seed
from gradjax.types import Batch, Key, Params


class GradientCheck(NamedTuple):
    """The results of the check for all leaves; its `str` is a table."""

    leaves: tuple[LeafCheck, ...]
    dtype: str  # the type of all computations

    @property
    def is_right(self) -> bool:
        """Whether the gradient of every leaf is right."""
        return all(leaf.is_right for leaf in self.leaves)

    @property
    def is_zero(self) -> bool:
        """Whether the gradient of every leaf is exactly zero, and rightly so."""
        return all(leaf.is_zero for leaf in self.leaves)

    def __str__(self) -> str:
        """Returns a line for each leaf, and a line that names the wrong leaves."""
        rows = [("leaf", "shape", "error", "relative", "")]
        for leaf in self.leaves:
            right = "zero" if leaf.is_zero else "right"
            verdict = right if leaf.is_right else f"{_failure(leaf)} {leaf.worst}"
            errors = (f"{leaf.max_error:.1e}", f"{leaf.max_relative_error:.1e}")
            rows.append((leaf.name, str(leaf.shape), *errors, verdict))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        bad = [leaf for leaf in self.leaves if not leaf.is_right]
        named = ", ".join(f"{_failure(leaf).lower()} in {leaf.name}" for leaf in bad)
        zero = "exactly zero in every leaf, so there is nothing to learn"
        named = named or (zero if self.is_zero else "right")
        said = f"In {self.dtype} the gradient is {named}."
        return "\n".join([*lines, said])


def _failure(leaf: LeafCheck) -> str:
    return "WRONG" if leaf.is_decided else "NOT DECIDED"


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
    if not callable(loss):
        raise Refusal(f"loss={loss!r}: expected a function")
    is_number = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
    if tolerance is not None and not (is_number and tolerance > 0):
        raise Refusal(f"tolerance={tolerance!r}: expected a positive number")
    checked_seed(seed)
    _check_leaves(params)
    rest = _arguments(loss, batch, key)
    return check_with(programs(loss), params, rest, count, tolerance, seed)


class Programs(NamedTuple):
    """The programs of a check, which compile at their first call."""

    value: Callable[..., Any]  # (params, *rest) -> f[], not compiled
    value_and_grad: Callable[..., Any]
    values_along: Callable[..., Any]
    slopes_at: Callable[..., Any]


def programs(loss: Callable[..., Any]) -> Programs:
    """Makes the programs with which the gradient of a loss is checked."""
    value = partial(_value, loss)
    return Programs(
        value,
        jax.jit(jax.value_and_grad(value)),
        jax.jit(partial(values_along, value)),
        jax.jit(partial(integrals.slopes_at, value)),
    )


def check_with(
    programs: Programs,
    params: Params,
    rest: tuple[Any, ...],
    num_directions: int = 16,
    tolerance: float | None = None,
    seed: int = 0,
) -> GradientCheck:
    """Checks a gradient with programs that many checks share.

    Args:
      programs: made from the loss.
      params: a pytree of floats.
      rest: the other arguments of the loss.
      num_directions: as `check_gradient` takes it.
      tolerance: likewise.
      seed: likewise.
    """
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), params)
    dtype = _dtype_of(programs.value, params, rest)
    number, tree = programs.value_and_grad(params, *rest)
    if not np.isfinite(float(number)):
        raise Refusal(
            f"the loss is {float(number)} at these parameters: nothing to compare"
        )
    dtypes = (dtype, jnp.asarray(0.0).dtype)
    eps = max(float(jnp.finfo(one).eps) for one in dtypes)
    usual = 1e-6 if eps < 1e-10 else 1e-3
    context = LeafContext(
        params,
        rest,
        programs.values_along,
        programs.slopes_at,
        num_directions,
        eps,
        usual if tolerance is None else tolerance,
    )
    rng = np.random.default_rng(seed)
    names = _names(params)
    leaves, grads = map(_on_host, (params, tree))
    checks = [
        check_leaf(context, k, leaf, rng)
        for k, leaf in enumerate(zip(names, leaves, grads, strict=True))
    ]
    return GradientCheck(tuple(checks), jnp.asarray(0.0).dtype.name)


def _check_leaves(params: Params) -> None:
    leaves = jax.tree.leaves(params)
    if not leaves:
        raise Refusal("params without a leaf: there is no gradient to check")
    for name, leaf in zip(_names(params), leaves, strict=True):
        if not isinstance(leaf, int | float | np.generic | np.ndarray | jax.Array):
            kind = type(leaf).__name__
            raise Refusal(f"{name} is {kind}: only floats have a gradient to check")
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


def _dtype_of(value: Callable[..., Any], params: Params, rest: tuple) -> Any:
    """Returns the type of the loss; refuses a loss that is not one float."""
    with named_errors("the loss fails"):
        seen = jax.eval_shape(value, params, *rest)
    is_array = isinstance(seen, jax.ShapeDtypeStruct)
    if not is_array or seen.shape or not jnp.issubdtype(seen.dtype, jnp.floating):
        found = f"{seen.dtype}{list(seen.shape)}" if is_array else type(seen).__name__
        raise Refusal(f"the loss gives {found}: expected one float, or (float, aux)")
    return seen.dtype
