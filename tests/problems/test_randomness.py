import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax import problems
from gradjax.problems import randomness


@pytest.mark.parametrize(
    ("name", "is_random"),
    [("quadratic", False), ("noisy_quadratic", True), ("sparse_gradients", True)],
)
def test_a_loss_is_random_if_it_depends_on_the_key(name, is_random):
    assert randomness.is_random(problems.make(name)) is is_random


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_dropout_is_random_and_data_alone_are_not(rate):
    def loss(params, batch, key):
        kept = jax.random.bernoulli(key, 1.0 - rate, batch.shape)
        return ((batch * kept) @ params).mean(), {}

    made = problems.problem(loss, jnp.ones(8), np.ones((5, 8), np.float32))
    assert randomness.is_random(made) is (rate > 0.0)
