"""The gradient noise scale: how many examples a batch needs to show its gradient.

With the gradient G of the mean loss over all data and the covariance Sigma of the
gradients of single examples, the simple noise scale is tr(Sigma) / |G|^2. Both parts
have unbiased estimates from one batch. The noise scale is the ratio of their running
means, because the mean of ratios is biased and has no finite variance.

Source: McCandlish et al., "An Empirical Model of Large-Batch Training", 2018.
"""

import jax
import jax.numpy as jnp

from gradjax.counts import as_whole
from gradjax.diagnostics import trees
from gradjax.diagnostics.examples import Loss, count, deviations
from gradjax.errors import Refusal
from gradjax.types import Batch, Params

Memory = dict[str, jax.Array]
Values = dict[str, jax.Array]


def noise_scale_memory(params: Params) -> Memory:
    """Returns the memory of the running means: no batch has been measured."""
    types = [x.dtype for x in jax.tree.leaves(trees.widened(params))]
    zero = jnp.zeros((), jnp.result_type(*types))
    return {"above": zero, "below": zero, "weight": zero}


def noise_scale(
    loss: Loss,
    params: Params,
    batch: Batch,
    grads: Params,
    memory: Memory,
    chunk: int | None = None,
    decay: float = 0.99,
) -> tuple[Values, Memory]:
    """Estimates the simple noise scale from the gradients of single examples.

    With the gradients g_i of B examples and their mean g,

        trace = sum ||g_i - g||^2 / (B - 1),  squared_gradient = ||g||^2 - trace / B.

    Args:
      loss: (params, batch) -> f32[], the mean of the losses of the examples.
      params: the parameters before the step.
      batch: leaves [batch, ...].
      grads: the gradient of this batch.
      memory: the running sums of both parts.
      chunk: the number of gradients that are computed together; None: as
        `examples.usual_chunk` says.
      decay: the weight of a measurement relative to the next one, in (0, 1]; 1 gives
        the means of all measurements.

    Returns:
      f32[] each: `trace` and `squared_gradient` of this batch; `mean_trace` and
      `mean_squared_gradient`, their running means; and `noise_scale`, the ratio of
      these, in examples. It is NaN while the mean of the squared gradient is not above
      0, because then the noise hides the gradient. And the new memory.

    Raises:
        Refusal: decay is outside (0, 1], or see `examples.deviations`.
    """
    found = deviations(loss, params, batch, grads, chunk)
    below = found.square - found.trace / found.num_examples
    return running(found.trace, below, memory, decay)


def noise_scale_parts_memory(params: Params) -> Memory:
    """Returns the memory of the running means: no batch has been measured."""
    return noise_scale_memory(params)


def noise_scale_parts(
    loss: Loss,
    params: Params,
    batch: Batch,
    memory: Memory,
    num_parts: int = 2,
    decay: float = 0.99,
) -> tuple[Values, Memory]:
    """Estimates the simple noise scale from the gradients of equal parts of a batch.

    With parts of b = B / k examples, their gradients g_j and the mean g of these,

        trace = b sum ||g_j - g||^2 / (k - 1),  squared_gradient = ||g||^2 - trace / B.

    This is the estimate from a small and a large batch, (|g_b|^2 - |g_B|^2) / (1/b -
    1/B), averaged over the parts. It costs one more gradient of the batch, and it needs
    no loss of one example, so it is defined for a network that normalises by the batch.
    With k = B it is `noise_scale`; with fewer parts its variance is larger.

    Args:
      loss: (params, batch) -> f32[], the mean of the losses of the examples.
      params: the parameters before the step.
      batch: leaves [batch, ...]. Examples that are left over are not used.
      memory: the running sums of both parts.
      num_parts: k, the number of parts, at least 2.
      decay: as in `noise_scale`.

    Returns:
      As `noise_scale`.

    Raises:
        Refusal: num_parts is not a whole number from 2 to B, or decay is outside (0,
            1].
    """
    size = count(batch)
    if not 2 <= (as_whole(num_parts) or 0) <= size:
        raise Refusal(f"num_parts={num_parts!r}: expected 2 to {size}, the batch size")
    each = size // num_parts
    parts = jax.tree.map(
        lambda x: x[: each * num_parts].reshape(num_parts, each, *x.shape[1:]), batch
    )
    grads = jax.lax.map(lambda part: trees.widened(jax.grad(loss)(params, part)), parts)
    mean = jax.tree.map(lambda g: g.mean(axis=0), grads)
    away = jax.lax.map(lambda g: trees.square(trees.difference(g, mean)), grads)
    trace = each * away.sum() / (num_parts - 1)
    below = trees.square(mean) - trace / (each * num_parts)
    return running(trace, below, memory, decay)


def running(
    trace: jax.Array, square: jax.Array, memory: Memory, decay: float
) -> tuple[Values, Memory]:
    """Adds both parts of a noise scale to the running sums.

    Args:
      trace: f32[], the part above, such as tr(Sigma).
      square: f32[], the part below, such as |G|^2.
      memory: the running sums of both parts and of the weights.
      decay: the weight of a measurement relative to the next one, in (0, 1].

    Returns:
      The values that `noise_scale` describes, and the new memory.

    Raises:
        Refusal: decay is outside (0, 1].
    """
    if not 0.0 < decay <= 1.0:
        raise Refusal(f"decay={decay!r}: expected a number in (0, 1]")
    new = {
        "above": decay * memory["above"] + trace,
        "below": decay * memory["below"] + square,
        "weight": decay * memory["weight"] + 1.0,
    }
    values = {
        "trace": trace,
        "squared_gradient": square,
        "mean_trace": new["above"] / new["weight"],
        "mean_squared_gradient": new["below"] / new["weight"],
        "noise_scale": trees.ratio(new["above"], new["below"]),
    }
    return values, new
