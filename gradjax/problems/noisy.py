"""Problems with gradient noise: the noisy quadratic model, and sparse gradients.

The loss of a step depends on the step's key, as that of a mini-batch depends on its
examples. The mean of the loss over the noise is traced as `expected_loss`.
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

    The curvatures are h_i = i^-power. The gradient is h x + e, and the covariance of
    its noise is the Hessian divided by the batch size, as near a minimum of a network.
    The mean of the loss has its minimum 0 at 0. Gradient descent with learning rate r
    converges to a mean loss of 1/2 sum_i r h_i / (batch (2 - r h_i)). The initial
    point is standard normal.

    Args:
      dim: dimension of x, from 1 to 100,000.
      batch_size: number of examples over which the noise is averaged, at least 1.
      power: rate at which the curvatures decrease, from 0 to 4.

    Raises:
        Refusal: an argument is out of range.

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
    """Rare features: coordinate i is active in a step with probability p_i = i^-power.

    The loss is 1/2 sum of (x_i - 1)^2 over the active coordinates; the gradient is 0 in
    the others. The mean of the loss, 1/2 sum_i p_i (x_i - 1)^2, has its minimum 0 at 1,
    where the gradient of every step is 0, too. With the defaults 5 of the 100
    coordinates are active on average. The initial point is 0.

    Args:
      dim: dimension of x, from 1 to 100,000.
      power: rate at which the probabilities decrease, from 0 (all are 1) to 4.

    Raises:
        Refusal: an argument is out of range.

    Source: the setting of Duchi, Hazan and Singer 2011, Adaptive Subgradient Methods,
    with probabilities as the word frequencies of Zipf's law.
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
    """Makes metrics that measure the mean of the loss over the noise."""

    def metrics(params: Params, batch: Any, key: Key) -> MetricSums:
        expected = loss(params, batch, key)[1]["expected_loss"]
        return {"loss": (expected, jnp.float32(1.0))}

    return metrics


def _powers(dim: int, power: float) -> np.ndarray:
    """Returns 1, 2^-power, 3^-power, ...: f64[dim]."""
    size = arguments.whole("dim", dim, 1, MAX_DIM)
    return np.arange(1, size + 1) ** -arguments.number("power", power, 0.0, 4.0)
