"""The sharpness in the norm of an optimizer, for updates without a useful Jacobian.

Sign descent and orthogonalised updates do not depend on the size of the gradient, so
the Jacobian of their step says nothing about stability. Their step is the steepest
descent in another norm: in the largest element for sign descent, and in the largest
singular value of each matrix for orthogonalised updates (Muon). With the dual norm
|g|* of the gradient, the steepest descent -rate |g|* argmax <g, d> over |d| <= 1 lowers
a quadratic in every step while max d' H d over |d| <= 1 is below 2 / rate.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradjax.diagnostics.eigenvalues import top_eigenvalues
from gradjax.diagnostics.products import Curvature, Loss, curvature
from gradjax.diagnostics.vectors import Space, checked_count, dot, random_unit, unit
from gradjax.errors import Refusal
from gradjax.expressions import unknown
from gradjax.optimizers.decompositions import svd
from gradjax.types import Batch, Key, Params

NORMS = ("l2", "linf", "spectral")

_Oracle = Callable[[jax.Array], jax.Array]  # g f[n] -> argmax of <g, d>, f[n]


class GeneralisedSharpness(NamedTuple):
    """An estimate of max d' H d over all d of a norm of at most 1.

    Attributes:
      value: f[], a lower bound of the maximum. For "l2" the largest eigenvalue, also if
        it is negative.
      gap: f[], max <H d, s - d> over all s of a norm of at most 1; it is 0 at a
        stationary point. For "l2" the residual of the eigenvalue.
      direction: d, a pytree like the parameters.
    """

    value: jax.Array
    gap: jax.Array
    direction: Params


class _Point(NamedTuple):
    direction: jax.Array  # f[n]
    image: jax.Array  # f[n], H d


def generalised_sharpness(
    loss: Loss,
    params: Params,
    batch: Batch = None,
    norm: str = "l2",
    *,
    key: Key,
    num_products: int = 20,
    num_starts: int = 4,
) -> GeneralisedSharpness:
    """Estimates max d' H d over |d| <= 1, the sharpness in a norm.

    "l2" is the Euclidean norm of all parameters: the largest eigenvalue by Lanczos.
    "linf" is the largest absolute element: for a diagonal H the maximum is the sum of
    the positive elements, and in general a problem of maximum cut, which is NP-hard.
    "spectral" is the largest singular value of any leaf: a vector is a matrix with one
    column, and a leaf of more axes a matrix whose columns are those of its last axis.

    For the last two, the Frank-Wolfe method climbs from several random vertices to
    stationary points, of which the best one is returned: in each iteration it moves
    towards the signs, or the polar factors, of H d, by an exact line search. With a
    positive semidefinite H that is the complete way, so signs or polar factors
    alternate with products.

    Args:
      loss: (params, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of the loss, a pytree or None.
      norm: one of NORMS.
      key: of the random starts.
      num_products: the number of Hessian products from each start, at least 2.
      num_starts: the number of starts; "l2" has one.

    Returns:
      A GeneralisedSharpness in the widest type of the parameters, at least float32.

    Raises:
      Refusal: an unknown norm, a count out of its range, a leaf that is not of floats,
        or a loss that is not one number.

    Source:
      Frank and Wolfe 1956, on a quadratic; the sharpness in a norm as in
      arXiv:2603.05002; the polar factor as the maximiser in the spectral norm in
      Bernstein and Newhouse, "Old Optimizer, New Norm", 2024 (arXiv:2409.20325).
    """
    if norm not in NORMS:
        raise Refusal(unknown(norm, NORMS, "norm"))
    num_products = checked_count("num_products", num_products, 2)
    num_starts = checked_count("num_starts", num_starts, 1)
    if norm == "l2":
        given = {"key": key, "num_products": num_products}
        top = top_eigenvalues(loss, params, batch, **given)
        along = jax.tree.map(lambda x: x[0], top.vectors)
        return GeneralisedSharpness(top.values[0], top.residuals[0], along)
    local = curvature(loss, params, batch)
    oracle = _signs if norm == "linf" else _polar_factors(local.space)
    found, gaps = jax.lax.map(
        lambda key: _climbed(local, oracle, key, num_products - 1),
        jax.random.split(key, num_starts),
    )
    values = jax.vmap(dot)(found.direction, found.image)
    best = jnp.argmax(values)
    direction = local.space.unravel(found.direction[best])
    return GeneralisedSharpness(values[best], gaps[best], direction)


def generalised_of_run(
    loss: Loss,
    params: Params,
    batch: Batch,
    learning_rate: jax.Array,
    key: Key,
    norm: str = "linf",
    num_products: int = 10,
    num_starts: int = 2,
) -> dict[str, jax.Array]:
    """Estimates the sharpness in the norm of sign descent or orthogonalised updates.

    Args:
      loss: (params, batch) -> f[].
      params: the parameters before the step.
      batch: the examples of the loss.
      learning_rate: f[], at this step.
      key: of the random starts.
      norm: "l2", "linf" or "spectral"; see `generalised_sharpness`.
      num_products: the number of Hessian products from each start.
      num_starts: the number of starts.

    Returns:
      `""`: max d' H d over |d| <= 1, from below; `gap`: 0 at a stationary point;
      `times_rate`: its product with the learning rate.
    """
    counts = {"num_products": num_products, "num_starts": num_starts}
    found = generalised_sharpness(loss, params, batch, norm, key=key, **counts)
    rate = learning_rate * found.value
    return {"": found.value, "gap": found.gap, "times_rate": rate}


def _climbed(
    local: Curvature, oracle: _Oracle, key: Key, num_steps: int
) -> tuple[_Point, jax.Array]:
    """Climbs from a random vertex: (the last point, its gap)."""

    def step(at: _Point, _: Any) -> tuple[_Point, None]:
        vertex = oracle(at.image)
        way, bend = vertex - at.direction, local.product(vertex) - at.image
        slope, turn = dot(way, at.image), dot(way, bend)
        # Along the way d' H d is concave if `turn` < 0, else largest at the end. At a
        # stationary point both are rounding, and only the clip bounds their ratio.
        top = slope / jnp.where(turn < 0, -turn, 1)
        share = jnp.where(turn < 0, jnp.clip(top, 0, 1), 1)
        return _Point(at.direction + share * way, at.image + share * bend), None

    # From a vertex, because inside of the set the method comes near slowly.
    start = oracle(random_unit(key, local.space))
    first = _Point(start, local.product(start))
    last, _ = jax.lax.scan(step, first, None, length=num_steps)
    return last, dot(oracle(last.image) - last.direction, last.image)


def _signs(vector: jax.Array) -> jax.Array:
    """Returns 1 or -1 of each element; 1 for 0."""
    return jnp.where(jnp.isnan(vector), vector, jnp.where(vector < 0, -1, 1))


def _polar_factors(space: Space) -> _Oracle:
    """Returns a function that computes the polar factor of each leaf of a vector."""

    def one(leaf: jax.Array) -> jax.Array:
        if leaf.ndim < 2:
            return unit(leaf.reshape(-1)).reshape(leaf.shape)
        matrix = leaf.reshape(-1, leaf.shape[-1])
        left, _, right = svd(matrix)
        highest = jax.lax.Precision.HIGHEST
        return jnp.matmul(left, right, precision=highest).reshape(leaf.shape)

    return lambda vector: space.ravel(jax.tree.map(one, space.unravel(vector)))
