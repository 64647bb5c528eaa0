"""The largest and the smallest eigenvalues of the Hessian, by Lanczos steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.diagnostics.lanczos import lanczos, ritz
from gradjax.diagnostics.products import Loss, curvature
from gradjax.diagnostics.vectors import (
    Space,
    check_like,
    checked_count,
    dot,
    random_unit,
    unit,
)
from gradjax.types import Batch, Key, Params

# The norm of the random direction beside a given start of norm 1. On matrices with an
# outlier the errors after 6 and 20 products are nearly the same for 0.03, 0.1 and 0.3;
# with 1 those of 6 products are larger by a factor of 10 near a good start.
_FRESH = 0.1


class Eigenvalues(NamedTuple):
    """Estimates of the k outermost eigenvalues of a symmetric matrix.

    Attributes:
      values: f[k], beginning with the outermost one. Each largest value is at most the
        true one of its rank, and each smallest value is at least the true one.
      residuals: f[k]: within this distance of a value there is an eigenvalue, apart
        from rounding. A residual that is small shows that a value has converged.
      vectors: the eigenvectors of norm 1, a pytree with leaves f[k, *shape].
    """

    values: jax.Array
    residuals: jax.Array
    vectors: Any


def top_eigenvalues(
    loss: Loss,
    params: Params,
    batch: Batch = None,
    *,
    key: Key,
    k: int = 1,
    num_products: int = 20,
    start: Any = None,
) -> Eigenvalues:
    """Estimates the k largest eigenvalues of the Hessian of a loss.

    Args:
      loss: (params, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of the loss, a pytree or None.
      key: of the random direction of the start.
      k: the number of eigenvalues.
      num_products: the number of Hessian products, at least k; if it is larger than the
        number of parameters, that number.
      start: the `vectors` of an earlier result, near which the eigenvectors are
        expected; leaves f[any, *shape]. A fresh random direction is added, so an
        eigenvector that is orthogonal to all of them is found as well. Zeros, or values
        that are not finite, are as None: a random direction alone.

    Returns:
      Eigenvalues in decreasing order, in the type of the parameters, at least float32.

    Raises:
      Refusal: a leaf that is not of floats, a number out of its range, another shape of
        the start, or a loss that is not one number.

    Source:
      Lanczos 1950; Paige 1980 for the residuals; as the sharpness of a network in Cohen
      et al., "Gradient Descent on Neural Networks Typically Occurs at the Edge of
      Stability", 2021.
    """
    local = curvature(loss, params, batch)
    options = Options(k, num_products)
    return outermost(local.product, local.space, key, start, options)


def smallest_eigenvalue(
    loss: Loss,
    params: Params,
    batch: Batch = None,
    *,
    key: Key,
    num_products: int = 20,
    start: Any = None,
) -> Eigenvalues:
    """Estimates the smallest eigenvalue of the Hessian, the most negative curvature.

    The arguments and errors are those of `top_eigenvalues`.

    Returns:
      Eigenvalues with k = 1.
    """
    local = curvature(loss, params, batch)
    options = Options(1, num_products, is_top=False)
    return outermost(local.product, local.space, key, start, options)


def sharpness(
    loss: Loss,
    params: Params,
    batch: Batch = None,
    *,
    key: Key | None = None,
    num_products: int = 20,
) -> jax.Array:
    """Estimates the sharpness: the largest eigenvalue of the Hessian, f[].

    The estimate is never above the true value, apart from rounding. `top_eigenvalues`
    also returns its residual and its eigenvector.

    Args:
      loss: (params, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of the loss, a pytree or None.
      key: of the random start; None: jax.random.key(0).
      num_products: the number of Hessian products.

    Raises:
      Refusal: as `top_eigenvalues` does.
    """
    key = jax.random.key(0) if key is None else key
    found = top_eigenvalues(loss, params, batch, key=key, num_products=num_products)
    return found.values[0]


class Options(NamedTuple):
    """Which eigenvalues are computed, and from how many products."""

    k: int
    num_products: int
    is_top: bool = True


def outermost(
    product: Callable[[jax.Array], jax.Array],
    space: Space,
    key: Key,
    start: Any,
    options: Options,
) -> Eigenvalues:
    """Estimates the outermost eigenvalues of a matrix that is given by its products.

    Args:
      product: f[n] -> f[n], symmetric.
      space: the vectors f[n].
      key: of the random direction of the start.
      start: as in `top_eigenvalues`, or None.
      options: which eigenvalues, and from how many products.

    Raises:
      Refusal: a number out of its range, or another shape of the start.
    """
    k = checked_count("k", options.k, 1, space.size)
    num_products = checked_count("num_products", options.num_products, k)
    start_key, step_key = jax.random.split(key)
    first = _mixed(start, space, start_key)
    num_steps = min(num_products, space.size)
    found = lanczos(product, first, step_key, num_steps)
    values, residuals, vectors = ritz(found)
    outer = jnp.arange(-1, -k - 1, -1) if options.is_top else jnp.arange(k)
    rows = jax.vmap(lambda column: dot(found.basis.T, column))(vectors.T[outer])
    return Eigenvalues(values[outer], residuals[outer], space.unravel(rows))


def _mixed(start: Any, space: Space, key: Key) -> jax.Array:
    """Returns the sum of the given directions and a random one, f[n]."""
    random = random_unit(key, space)
    if start is None:
        return random
    given = unit(jnp.sum(_rows(start, space), axis=0))
    return given + jnp.where(jnp.any(given != 0), _FRESH, 1) * random


def _rows(start: Any, space: Space) -> jax.Array:
    """Returns the vectors of a start as f[any, n]; refuses other shapes."""
    leaves = jax.tree.leaves(start)
    lead = np.shape(leaves[0])[:1] if leaves else ()
    wide = jax.ShapeDtypeStruct((*(lead or (1,)), space.size), space.dtype)
    check_like("start", start, jax.eval_shape(space.unravel, wide))
    return jax.vmap(space.ravel)(start)
