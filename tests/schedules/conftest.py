import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.schedules import shape_at, split


def numbers_of(expression, num_steps=100):
    """The static part, and the numbers as arrays."""
    schedule, numbers = split(expression, num_steps)
    return schedule, {path: jnp.asarray(v, jnp.float32) for path, v in numbers.items()}


def curve(expression, num_steps=100, past_the_end=False, is_compiled=True):
    """The shape at every step of a run, as the program computes it."""
    schedule, numbers = numbers_of(expression, num_steps)
    steps = jnp.arange(num_steps + past_the_end, dtype=jnp.uint32)
    at_step = jax.vmap(
        lambda i: shape_at(schedule, numbers, i.astype(jnp.float32) / num_steps)
    )
    return np.asarray(jax.jit(at_step)(steps) if is_compiled else at_step(steps))


def curves(asked):
    """Key -> (expression, num_steps[, past_the_end]) to key -> shape, compiled once."""
    made = {key: numbers_of(*given[:2]) for key, given in asked.items()}

    def all_of_them(numbers):
        found = {}
        for key, (_, num_steps, *past_the_end) in asked.items():
            steps = jnp.arange(num_steps + sum(past_the_end), dtype=jnp.uint32)
            progress = steps.astype(jnp.float32) / num_steps
            shape = functools.partial(shape_at, made[key][0], numbers[key])
            found[key] = jax.vmap(shape)(progress)
        return found

    numbers = {key: one for key, (_, one) in made.items()}
    return jax.tree.map(np.asarray, jax.jit(all_of_them)(numbers))


@pytest.fixture(name="curves", scope="session")
def _curves():
    return curves


@pytest.fixture(name="numbers_of", scope="session")
def _numbers_of():
    return numbers_of


@pytest.fixture(name="curve", scope="session")
def _curve():
    return curve
