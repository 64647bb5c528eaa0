"""Quadratics, for which rates of convergence are known in closed form."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.problems import arguments
from gradjax.types import Key, Minimum, Params, Problem

MAX_DIM = 1_000  # because the rotation is a constant of the program: 4 MB at this size
SPECTRA = ("log", "linear", "two")


def quadratic(
    dim: int = 10,
    condition: float = 100.0,
    spectrum: str = "log",
    rotated: bool = True,
    seed: int = 0,
) -> Problem:
    """A quadratic with a given spectrum: 1/2 sum_i h_i (Q x)_i^2; minimum 0 at 0.

    The largest curvature h is 1 and the smallest is 1 / condition, so gradient descent
    is stable up to a learning rate of 2 for every condition number. The initial point
    is standard normal. `minimum.curvature` is (1 / condition, 1).

    Args:
      dim: dimension of x, from 2 to 1,000.
      condition: the condition number, at least 1: largest over smallest curvature.
      spectrum: spacing of the curvatures: equal ratios ("log"), equal distances
        ("linear"), or one half at each end ("two").
      rotated: whether Q is a random rotation or the identity. With the identity,
        coordinate-wise optimizers such as adam have an advantage.
      seed: seed of the rotation; it belongs to the problem, not to the run.

    Raises:
        Refusal: an argument is out of range.
    """
    curvatures = spectrum_of(dim, condition, spectrum)
    arguments.whole("seed", seed, 0, 2**32 - 1)
    is_rotated = arguments.truth("rotated", rotated)
    rotation = rotation_of(dim, seed) if is_rotated else None

    def loss(params: Params, _batch: Any, _key: Any) -> tuple[jax.Array, dict]:
        # The squares are taken in the rotated frame, because x'Hx with a rounded H can
        # have a negative curvature if the condition number is above 1e7.
        axes = params
        if rotation is not None:
            matrix = jnp.asarray(rotation, params.dtype)
            axes = jnp.matmul(matrix, params, precision="highest")
        return 0.5 * (jnp.asarray(curvatures, params.dtype) * axes**2).sum(), {}

    def init(key: Key) -> Params:
        return jax.random.normal(key, (dim,), float)

    ends = (float(curvatures.min()), float(curvatures.max()))
    return Problem(init, loss, minimum=Minimum((np.zeros(dim),), 0.0, ends))


def spectrum_of(dim: int, condition: float, spectrum: str) -> np.ndarray:
    """Returns the curvatures f64[dim], ascending from 1 / condition to 1.

    Raises:
        Refusal: an argument is out of range.
    """
    arguments.whole("dim", dim, 2, MAX_DIM)
    least = 1.0 / arguments.number("condition", condition, 1.0, 1e12)
    match arguments.choice("spectrum", spectrum, SPECTRA):
        case "log":
            return np.geomspace(least, 1.0, dim)
        case "linear":
            return np.linspace(least, 1.0, dim)
        case _:
            return np.where(np.arange(dim) < dim // 2, least, 1.0)


def rotation_of(dim: int, seed: int) -> np.ndarray:
    """Draws a Haar-distributed orthogonal matrix f64[dim, dim] (Mezzadri 2007)."""
    gaussian = np.random.default_rng(seed).normal(size=(dim, dim))
    q, r = np.linalg.qr(gaussian)
    return q * np.sign(np.diag(r))[None]
