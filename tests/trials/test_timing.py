"""The time of a step is measured without compilation and evaluation."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Splits
from gradjax.data import arrays
from gradjax.trials import timing


@pytest.fixture(scope="module")
def problem():
    """A step waits for 2 ms on the host, an evaluation for 50 ms."""

    def wait(seconds):
        def waited(x):
            time.sleep(seconds)
            return x

        return lambda x: jax.pure_callback(waited, jax.ShapeDtypeStruct((), x.dtype), x)

    @jax.custom_jvp
    def slow(x):
        return wait(0.002)(x)

    slow.defjvp(lambda x, t: (slow(*x), *t))

    def loss(params, batch, _key):
        return slow(jnp.square(params - batch["x"]).mean()), {}

    def metrics(params, batch, _key):
        total = jnp.square(params - batch["x"]).sum()
        return {"loss": (wait(0.05)(total), jnp.float32(len(batch["x"])))}

    x = np.arange(8, dtype=np.float32)
    splits = Splits(arrays.source({"x": x}), arrays.source({"x": x}))
    return gradjax.Problem(lambda _: jnp.float32(1.0), loss, metrics, splits)


@pytest.mark.slow
def test_a_step_takes_its_own_time_and_not_that_of_evaluations(problem):
    program = gradjax.program(problem, "sgd", num_steps=20, eval_every=1)
    found = timing.step_seconds(program, {"learning_rate": 0.1}, at_least_s=0.1)
    assert 0.002 <= found < 0.02
