"""The gradient and the update of gradjax's step in a bare `jax.lax.scan`.

It trains the same problem and draws its batches at random. It has no order of the
examples, no schedule, no keys derived from counters, no detection of divergence and no
report.
"""

import functools
import time
from typing import Any

import jax
import numpy as np
import optax

from scripts.baselines import LEARNING_RATE, Rival, Round, Settings
from scripts.baselines.gradjax_run import BLOCK_STEPS, problem_of


def make(settings: Settings, inputs: np.ndarray, targets: np.ndarray) -> Rival:
    """Compiles a scan over one block of steps and runs it once."""
    problem = problem_of(settings, inputs, targets)
    assert problem.data is not None
    train_data, size = problem.data.train, BLOCK_STEPS[settings.model]
    arrays, tx = jax.device_put(train_data.arrays), optax.adam(LEARNING_RATE)
    keys = map(jax.random.key, range(1, 2**31))

    @functools.partial(jax.jit, donate_argnums=0)
    def block(state: Any, key: jax.Array, arrays: Any) -> tuple[Any, jax.Array]:
        def step(state: Any, row: Any) -> tuple[Any, jax.Array]:
            (params, opt_state), (indices, key) = state, row
            batch = train_data.take(arrays, indices)
            value_and_grad = jax.value_and_grad(problem.loss, has_aux=True)
            (loss, _), grads = value_and_grad(params, batch, key)
            updates, opt_state = tx.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), loss

        shape = (size, settings.batch_size)
        indices = jax.random.randint(key, shape, 0, train_data.num_examples)
        return jax.lax.scan(step, state, (indices, jax.random.split(key, size)))

    start = time.perf_counter()
    params = jax.jit(problem.init)(jax.random.key(0))
    state, losses = block((params, tx.init(params)), next(keys), arrays)
    jax.block_until_ready(losses)
    first_s = time.perf_counter() - start

    def train(num_steps: int) -> Round:
        nonlocal state
        start, seen = time.perf_counter(), []
        for _ in range(num_steps // size):
            state, losses = block(state, next(keys), arrays)
            seen.append(losses)
        loss = float(np.mean(jax.device_get(seen)))
        return Round(time.perf_counter() - start, loss)

    return Rival(first_s, train)
