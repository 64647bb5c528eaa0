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


@pytest.fixture(name="numbers_of", scope="session")
def _numbers_of():
    return numbers_of


@pytest.fixture(name="curve", scope="session")
def _curve():
    return curve
