"""Detects whether the loss of a problem is random."""

import jax
import jax.numpy as jnp

from gradjax.problems import state as states
from gradjax.types import Problem


def is_random(problem: Problem) -> bool:
    """Says whether the loss depends on the key of a step, as with noise or dropout.

    The loss is compared for eight keys at the initial parameters, on the first training
    example.
    """
    params, batch = problem.init(jax.random.key(0)), None
    state = states.init(problem, jax.random.key(0))
    if problem.data is not None:
        train = problem.data.train
        batch = train.take(train.arrays, jnp.zeros(1, jnp.uint32))

    def loss(key: jax.Array) -> jax.Array:
        return states.loss(problem, params, batch, key, state)[0]

    seen = jax.jit(jax.vmap(loss))(jax.random.split(jax.random.key(1), 8))
    return bool((seen != seen[0]).any())
