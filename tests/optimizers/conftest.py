import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax import Problem, Splits
from gradjax.data import arrays

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


@pytest.fixture(scope="session")
def examples(quadratic):
    """The same quadratic as a mean over four examples, whose noise is 0 on average."""
    noise = np.float32([[0.1], [-0.1], [0.2], [-0.2]])

    def loss(params, batch, key):
        shift = batch["noise"].mean() * sum(x.sum() for x in jax.tree.leaves(params))
        return quadratic.loss(params, None, key)[0] + shift, {}

    splits = Splits(arrays.source({"noise": noise}))
    return Problem(quadratic.init, loss, data=splits)
