"""Gradients with noise in them: the noisy quadratic model, and sparse gradients.

The loss of a step is drawn with the step's key, as that of a mini-batch would be; its
mean, which no step sees, is reported as `expected_loss` beside it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.problems import arguments
from gradjax.types import Key, MetricSums, Minimum, Params, Problem

MAX_DIM = 100_000


def noisy_quadratic(
    dim: int = 1_000, batch_size: int = 1, power: float = 1.0
) -> Problem:
    """The noisy quadratic model: 1/2 sum_i h_i x_i^2 + e'x, e ~ N(0, diag(h) / batch).

    The curvatures are h_i = i^-power, and the gradient h x + e has a noise whose
    covariance is the Hessian over the batch size, as near a minimum of a network. The
    mean of the loss is least, 0, at 0. Gradient descent at rate r settles at a mean
    loss of 1/2 sum_i r h_i / (batch (2 - r h_i)). A run starts at a normal point.

    Args:
      dim: of x, from 1 to 100,000.
      batch_size: examples that the noise is the mean of, at least 1.
      power: how fast the curvatures fall, from 0 to 4.

    Raises:
        Refusal: an argument out of range.

    Source: Zhang et al. 2019, Which Algorithmic Choices Matter at Which Batch Sizes?
    """
    curvatures = _powers(dim, power)
    size = arguments.whole("batch_size", batch_size, 1, 2**31)
    deviations = np.sqrt(curvatures / size)

    def loss(params: Params, _batch: Any, key: Key) -> tuple[jax.Array, dict]:
        dtype = params.dtype
        expected = 0.5 * (jnp.asarray(curvatures, dtype) * params**2).sum()
        noise = jax.random.normal(key, params.shape, dtype)
        tilt = (jnp.asarray(deviations, dtype) * noise * params).sum()
        return expected + tilt, {"expected_loss": expected}

    def init(key: Key) -> Params:
        return jax.random.normal(key, (dim,), float)

    ends = (float(curvatures.min()), float(curvatures.max()))
    minimum = Minimum((np.zeros(dim),), 0.0, ends)
    return Problem(init, loss, _mean_of(loss), minimum=minimum)


def sparse_gradients(dim: int = 100, power: float = 1.0) -> Problem:
    """Rare features: a step sees coordinate i with probability p_i = i^-power.

    The loss is 1/2 sum of (x_i - 1)^2 over the coordinates that a step sees; the
    gradient is 0 in every other. Its mean 1/2 sum_i p_i (x_i - 1)^2 is least, 0, at 1,
    where every step's own gradient is 0 as well. At the default, a step sees 5 of the
    100 coordinates in the mean. A run starts at 0.

    Args:
      dim: of x, from 1 to 100,000.
      power: how much rarer the later coordinates are, from 0 (none) to 4.

    Raises:
        Refusal: an argument out of range.

    Source: the setting of Duchi, Hazan and Singer 2011, Adaptive Subgradient Methods,
    with the word frequencies of Zipf's law.
    """
    frequencies = _powers(dim, power)

    def loss(params: Params, _batch: Any, key: Key) -> tuple[jax.Array, dict]:
        seen_often = jnp.asarray(frequencies, params.dtype)
        is_seen = jax.random.bernoulli(key, seen_often)
        squares = 0.5 * (params - 1.0) ** 2
        expected = (seen_often * squares).sum()
        return jnp.where(is_seen, squares, 0.0).sum(), {"expected_loss": expected}

    def init(_key: Key) -> Params:
        return jnp.zeros(dim, float)

    ends = (float(frequencies.min()), float(frequencies.max()))
    minimum = Minimum((np.ones(dim),), 0.0, ends)
    return Problem(init, loss, _mean_of(loss), minimum=minimum)


def _mean_of(loss: Any) -> Any:
    """Metrics that measure the mean over the noise."""

    def metrics(params: Params, batch: Any, key: Key) -> MetricSums:
        expected = loss(params, batch, key)[1]["expected_loss"]
        return {"loss": (expected, jnp.float32(1.0))}

    return metrics


def _powers(dim: int, power: float) -> np.ndarray:
    """1, 2^-power, 3^-power, ...: f64[dim]."""
    size = arguments.whole("dim", dim, 1, MAX_DIM)
    return np.arange(1, size + 1) ** -arguments.number("power", power, 0.0, 4.0)
