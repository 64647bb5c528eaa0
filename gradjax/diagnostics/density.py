"""The spectral density of the Hessian by stochastic Lanczos quadrature.

Lanczos steps from a random vector give nodes and weights that integrate polynomials of
the eigenvalues, up to the degree 2 * num_products - 1, exactly for that vector. The
mean over random vectors estimates the density of all eigenvalues.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradjax.diagnostics.estimates import Estimate, student
from gradjax.diagnostics.lanczos import lanczos, ritz
from gradjax.diagnostics.products import Loss, curvature
from gradjax.diagnostics.vectors import checked_count, random_signs
from gradjax.types import Batch, Key, Params


class SpectralDensity(NamedTuple):
    """A discrete density of eigenvalues, from several random vectors.

    Attributes:
      nodes: f[probes, products], eigenvalues of the tridiagonal matrices, increasing.
      weights: f[probes, products]; those of each probe have the sum 1.
    """

    nodes: jax.Array
    weights: jax.Array


def spectral_density(
    loss: Loss,
    params: Params,
    batch: Batch = None,
    *,
    key: Key,
    num_probes: int = 10,
    num_products: int = 30,
) -> SpectralDensity:
    """Estimates the density of the eigenvalues of the Hessian.

    Args:
      loss: (params, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of the loss, a pytree or None.
      key: of the random vectors of signs.
      num_probes: the number of random vectors, at least 1.
      num_products: the number of Hessian products of each, at least 1; if it is larger
        than the number of parameters, that number.

    Returns:
      SpectralDensity(nodes, weights). `density_on_grid` makes it a curve, and `moment`
      computes its moments.

    Raises:
      Refusal: a leaf that is not of floats, a number out of its range, or a loss that
        is not one number.

    Source:
      Golub and Welsch 1969; Ubaru, Chen, Saad, "Fast Estimation of tr(f(A)) via
      Stochastic Lanczos Quadrature", 2017; Ghorbani, Krishnan, Xiao, "An Investigation
      into Neural Net Optimization via Hessian Eigenvalue Density", 2019, who take 10
      random vectors and about 90 products.
    """
    num_probes = checked_count("num_probes", num_probes, 1)
    num_products = checked_count("num_products", num_products, 1)
    local = curvature(loss, params, batch)
    num_steps = min(num_products, local.space.size)

    def one(key: Key) -> SpectralDensity:
        start_key, step_key = jax.random.split(key)
        start = random_signs(start_key, local.space)
        found = ritz(lanczos(local.product, start, step_key, num_steps))
        return SpectralDensity(found.values, found.vectors[0] ** 2)

    return jax.lax.map(one, jax.random.split(key, num_probes))


def density_on_grid(
    density: SpectralDensity, grid: jax.Array, width: float | jax.Array
) -> jax.Array:
    """Computes the density at some values, with a Gaussian for each node.

    Args:
      density: of `spectral_density`.
      grid: f[points], the values at which it is computed.
      width: f[], the standard deviation of the Gaussians, in units of the eigenvalues.

    Returns:
      f[points], the share of the eigenvalues per unit, with the integral 1.
    """
    nodes = density.nodes.reshape(-1)
    weights = density.weights.reshape(-1) / density.nodes.shape[0]
    distances = (grid[:, None] - nodes[None]) / width
    heights = jnp.exp(-0.5 * distances**2) / (jnp.sqrt(2 * jnp.pi) * width)
    return jnp.sum(heights * weights[None], axis=1)


def moment(density: SpectralDensity, order: int) -> Estimate:
    """Estimates the mean of a power of the eigenvalues, tr(H^order) / n.

    Moment 0 is 1, moment 1 is tr(H) / n and moment 2 is |H|_F^2 / n.

    Args:
      density: of `spectral_density`.
      order: the power, from 0 to 2 * num_products - 1; higher ones are biased.

    Returns:
      Estimate(value, half_width), where the half width is over the random vectors. For
      moment 1 it covers as that of `trace` does, for moment 2 less: of an MLP in .92 of
      all cases with 10 probes, and in .94 with 100.

    Raises:
      Refusal: an order out of this range.
    """
    most = 2 * density.nodes.shape[1] - 1
    order = checked_count("order", order, 0, most)
    return student(jnp.sum(density.weights * density.nodes**order, axis=1))
