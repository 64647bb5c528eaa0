"""The trace and the diagonal of the Hessian from products with random vectors.

For a vector z of random signs, E[z' H z] is the trace and E[z * H z] the diagonal. Both
are exact if H is diagonal.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradjax.diagnostics.estimates import Estimate, half_width, student
from gradjax.diagnostics.products import Curvature, Loss, curvature
from gradjax.diagnostics.vectors import checked_count, dot, random_signs
from gradjax.optimizers.decompositions import orthogonal
from gradjax.types import Batch, Key, Params


class Diagonal(NamedTuple):
    """Means over random probes, one for each parameter.

    Attributes:
      values: the estimated diagonal, a pytree like the parameters.
      half_widths: of Student's 95 % interval of each element over the probes, a pytree
        like the parameters; NaN with one probe.
    """

    values: Any
    half_widths: Any


def trace(
    loss: Loss, params: Params, batch: Batch = None, *, key: Key, num_probes: int = 10
) -> Estimate:
    """Estimates the trace of the Hessian by the mean of z' H z over random signs z.

    The variance is 2 (|H|_F^2 - sum_k H_kk^2) / num_probes. The interval covers the
    trace in 95 % of all cases if the values z' H z are nearly normal. A few eigenvalues
    that are much larger than the others make them skewed, and the interval then needs
    more probes. Measured coverage on networks of about 200 parameters:

        network       skewness   10 probes   30     100
        MLP                0.5         .95    .95    .95
        cnn                2.0         .91    .93    .94
        Transformer        2.4         .88    .92    .94

    Where the number of products matters, `hutchpp_trace` covers the trace in .94 to .96
    with 60 products for the same three networks.

    Args:
      loss: (params, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of the loss, a pytree or None.
      key: of the signs.
      num_probes: the number of sign vectors and of Hessian products, at least 1.

    Returns:
      Estimate(value, half_width), each f[].

    Raises:
      Refusal: a leaf that is not of floats, a number out of its range, or a loss that
        is not one number.

    Source:
      Hutchinson, "A Stochastic Estimator of the Trace of the Influence Matrix", 1990.
    """
    num_probes = checked_count("num_probes", num_probes, 1)
    local = curvature(loss, params, batch)

    def one(key: Key) -> jax.Array:
        signs = random_signs(key, local.space)
        return dot(signs, local.product(signs))

    return student(jax.lax.map(one, jax.random.split(key, num_probes)))


def hutchpp_trace(
    loss: Loss,
    params: Params,
    batch: Batch = None,
    *,
    key: Key,
    num_products: int = 60,
) -> Estimate:
    """Estimates the trace of the Hessian by Hutch++.

    A third of the products finds a basis Q of the large eigenvalues, a third computes
    the trace of Q' H Q exactly, and the rest estimates the trace of the remainder,
    (I - Q Q') H (I - Q Q'), with random signs. So few large eigenvalues, which make
    `trace` inexact, do no harm. The half width is that of the remainder, because the
    other part is exact. On three networks of about 200 parameters the interval covers
    the trace in .94 to .96 of all cases with 60 products; with 30, in .92 of all cases
    for the Transformer.

    Args:
      loss: (params, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of the loss, a pytree or None.
      key: of the signs.
      num_products: the number of Hessian products, at least 6.

    Returns:
      Estimate(value, half_width), each f[].

    Raises:
      Refusal: as `trace` does.

    Source:
      Meyer, Musco, Musco, Woodruff, "Hutch++: Optimal Stochastic Trace Estimation",
      2021, algorithm 1.
    """
    num_products = checked_count("num_products", num_products, 6)
    local = curvature(loss, params, batch)
    rank = min(num_products // 3, local.space.size)
    num_probes = num_products - 2 * (num_products // 3)
    sketch_key, probe_key = jax.random.split(key)
    basis = _range_of(local, sketch_key, rank)
    exact = jnp.sum(jax.lax.map(lambda row: dot(row, local.product(row)), basis))

    def one(key: Key) -> jax.Array:
        signs = random_signs(key, local.space)
        rest = signs - dot(basis.T, dot(basis, signs))
        return dot(rest, local.product(rest))

    rest = student(jax.lax.map(one, jax.random.split(probe_key, num_probes)))
    return Estimate(exact + rest.value, rest.half_width)


def diagonal(
    loss: Loss, params: Params, batch: Batch = None, *, key: Key, num_probes: int = 10
) -> Diagonal:
    """Estimates the diagonal of the Hessian by the mean of z * H z over random signs z.

    The variance of element k is the sum of the squares of the other elements of row k,
    divided by num_probes.

    Args:
      loss: (params, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of the loss, a pytree or None.
      key: of the signs.
      num_probes: the number of sign vectors and of Hessian products, at least 1.

    Returns:
      Diagonal(values, half_widths), in the type of the parameters, at least float32.

    Raises:
      Refusal: as `trace` does.

    Source:
      Bekas, Kokiopoulou, Saad, "An Estimator for the Diagonal of a Matrix", 2007.
    """
    num_probes = checked_count("num_probes", num_probes, 1)
    local = curvature(loss, params, batch)

    def add(carry: tuple, key: Key) -> tuple:
        count, mean, squares = carry
        signs = random_signs(key, local.space)
        value = signs * local.product(signs)
        # Welford 1962: a sum of squares would lose the digits of a small variance.
        change = value - mean
        mean = mean + change / (count + 1)
        return (count + 1, mean, squares + change * (value - mean)), None

    zeros = jnp.zeros(local.space.size, local.space.dtype)
    carry = (jnp.zeros((), local.space.dtype), zeros, zeros)
    keys = jax.random.split(key, num_probes)
    (_, mean, squares), _ = jax.lax.scan(add, carry, keys)
    widths = half_width(squares, num_probes)
    return Diagonal(local.space.unravel(mean), local.space.unravel(widths))


def _range_of(local: Curvature, key: Key, rank: int) -> jax.Array:
    """Returns f[rank, n], an orthonormal basis of products with random signs."""

    def one(key: Key) -> jax.Array:
        return local.product(random_signs(key, local.space))

    rows = jax.lax.map(one, jax.random.split(key, rank))
    return orthogonal(rows.T).T
