import jax
import jax.numpy as jnp
import pytest

from gradjax import Problem

SCALES = {"w": jnp.asarray([[1.0, 0.5], [0.25, 1.0], [2.0, 1.0]]), "b": jnp.ones(2)}
START = {
    "w": jnp.asarray([[1.0, -2.0], [0.5, 1.5], [-1.0, 1.0]]),
    "b": jnp.asarray([0.5, -0.5]),
}


def quadratic_loss(params, _batch=None, _key=None):
    terms = jax.tree.map(lambda scale, x: (scale * x**2).sum(), SCALES, params)
    return 0.5 * sum(jax.tree.leaves(terms)), {}


@pytest.fixture(scope="session")
def quadratic():
    """0.5 sum(scale x^2) over a matrix and a vector; the minimum is 0 at 0."""
    return Problem(lambda _: START, quadratic_loss)


@pytest.fixture
def start():
    return START
