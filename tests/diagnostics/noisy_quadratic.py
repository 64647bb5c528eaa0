"""A quadratic whose gradient has additive noise of known covariance."""

import jax
import jax.numpy as jnp
import numpy as np

CURVATURES = np.asarray([1.0, 0.5, 0.25, 2.0], np.float32)
SPREADS = np.asarray([0.5, 1.0, 2.0, 0.1], np.float32)  # of the noise
PARAMS = jnp.asarray([1.0, -1.0, 2.0, 0.5])
TRACE = float((SPREADS**2).sum())
SQUARE = float(((CURVATURES * np.asarray(PARAMS)) ** 2).sum())


def loss(params, batch):
    """Has the gradient H w + x for an example x."""
    params = params[None]
    curved = 0.5 * jnp.asarray(CURVATURES)[None] * params**2
    return (curved + batch * params).sum(axis=1).mean()


def draw(key, num_examples):
    noise = jax.random.normal(key, (num_examples, 4))
    return noise * jnp.asarray(SPREADS)[None]


def measured(measure, memory, num_batches, num_examples, loss=loss):
    """The values of measure(params, batch, grads, memory, key) for each batch."""

    def advance(memory, key):
        batch = draw(key, num_examples)
        grads = jax.grad(loss)(PARAMS, batch)
        values, memory = measure(PARAMS, batch, grads, memory, key)
        return memory, values

    keys = jax.random.split(jax.random.key(7), num_batches)
    run = jax.jit(lambda memory: jax.lax.scan(advance, memory, keys)[1])
    return jax.tree.map(np.asarray, run(memory))
