"""Small networks and their dense Hessians in float64, for the tests of curvature."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from gradjax.models import LANGUAGE_MODELS, MODELS

NAMES = ("mlp", "cnn", "transformer")


class Net(NamedTuple):
    apply: object  # (params, batch) -> logits
    output_loss: object  # (logits, batch) -> f64[]
    params: object
    batch: object

    def loss(self, params, batch):
        return self.output_loss(self.apply(params, batch), batch)


def net(name, dtype=jnp.float64):
    """Makes one of NAMES, with at most 300 parameters; float64 needs x64."""
    rng = np.random.default_rng(0)
    if name == "transformer":
        model = LANGUAGE_MODELS["transformer"](6, width=4, depth=1, heads=1)
        tokens = jnp.asarray(rng.integers(6, size=(8, 6)))
        batch = {"inputs": tokens[:, :-1], "labels": tokens[:, 1:]}
    else:
        model = {
            "mlp": lambda: MODELS["mlp"]((8,), 4, (9, 9)),
            "cnn": lambda: MODELS["cnn"]((8, 8, 1), 3, (3, 4)),
        }[name]()
        shape = (8,) if name == "mlp" else (8, 8, 1)
        images = jnp.asarray(rng.normal(size=(20, *shape)), dtype)
        batch = {"inputs": images, "labels": jnp.asarray(rng.integers(3, size=20))}
    params = model.init(jax.random.key(1))
    keys = iter(jax.random.split(jax.random.key(2), len(jax.tree.leaves(params))))
    # Biases away from 0, so that no relu is at its kink.
    params = jax.tree.map(
        lambda leaf: (leaf + 0.1 * jax.random.normal(next(keys), leaf.shape)).astype(
            dtype
        ),
        params,
    )
    return Net(
        lambda params, batch: model.apply(params, batch["inputs"]),
        _cross_entropy,
        params,
        batch,
    )


def _cross_entropy(logits, batch):
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["labels"])
    return losses.mean()


def dense_hessian(loss, params, batch):
    """Computes the Hessian f[n, n] by jax.hessian, on raveled parameters."""
    flat, unravel = ravel_pytree(params)
    return jax.jit(jax.hessian(lambda vector: loss(unravel(vector), batch)))(flat)


def quadratic(params, matrix):
    """The loss x' A x / 2, whose Hessian is A."""
    return 0.5 * params @ matrix @ params


def symmetric(rng, size, spread=1.0):
    """Draws a symmetric matrix f64[size, size]."""
    drawn = rng.normal(size=(size, size)) * spread
    return (drawn + drawn.T) / 2


def rotated(values, seed=0):
    """Makes a symmetric matrix with these eigenvalues and random eigenvectors."""
    drawn = np.random.default_rng(seed).normal(size=(len(values), len(values)))
    basis = np.linalg.qr(drawn)[0]
    return (basis * np.asarray(values)) @ basis.T, basis
