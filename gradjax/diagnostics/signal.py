"""Signal-to-noise ratios of gradients, and what they advise."""

from typing import Any

import jax
import jax.numpy as jnp

from gradjax.diagnostics import trees
from gradjax.diagnostics.examples import (
    Deviations,
    Loss,
    deviations,
    each_loss,
    over_chunks,
    usual_chunk,
)
from gradjax.diagnostics.noise import Values
from gradjax.types import Batch, Params

Tree = Any  # a pytree of arrays


def signal_to_noise(
    loss: Loss,
    params: Params,
    batch: Batch,
    grads: Params,
    chunk: int | None = None,
    eps: float = 1e-5,
) -> dict[str, Any]:
    """Computes signal-to-noise ratios of the gradient, and evidence for stopping.

    All values come from one pass over the gradients of the examples. With the gradient
    g of B examples, the biased variance v_k of coordinate k over the examples and the
    unbiased one s_k = B v_k / (B - 1),

        gsnr           = mean_k g_k^2 / (v_k + eps)
        early_stopping = 1 - B mean_k g_k^2 / (s_k + eps)
        layers         = (||g||^2 - sum s_k / B) / sum s_k, over the coordinates of a
                         leaf: an unbiased |G|^2 over tr(Sigma).

    A run should stop where `early_stopping` is above 0: then the gradient is as small
    as that of pure noise, for which its mean is 0 in large batches.

    Args:
      loss: (params, batch) -> f32[], the mean of the losses of the examples.
      params: the parameters before the step.
      batch: leaves [batch, ...].
      grads: the gradient of this batch.
      chunk: the number of gradients that are computed together; None: as
        `examples.usual_chunk` says.
      eps: is added to a variance, so that coordinates without noise stay finite.

    Returns:
      `gsnr` and `early_stopping`, f32[]; `layer_gsnr`, the mean over each leaf, and
      `layers`, trees of scalars. A layer without noise is NaN in `layers`.

    Raises:
        Refusal: see `examples.deviations`.

    Source:
      Liu et al., "Understanding Why Neural Networks Generalize Well Through GSNR of
      Parameters", 2020; Mahsereci et al., "Early Stopping without a Validation Set",
      2017.
    """
    found = deviations(loss, params, batch, grads, chunk)
    size = found.num_examples
    mean = trees.widened(grads)
    biased = jax.tree.map(
        lambda e, g: g * g / (e / size + eps), found.coordinates, mean
    )
    unbiased = jax.tree.map(
        lambda e, g: g * g / (e / (size - 1) + eps), found.coordinates, mean
    )
    return {
        "gsnr": _mean(biased),
        "early_stopping": 1.0 - size * _mean(unbiased),
        "layer_gsnr": jax.tree.map(jnp.mean, biased),
        "layers": _layers(found, mean),
    }


def cabs(
    loss: Loss,
    params: Params,
    batch: Batch,
    grads: Params,
    learning_rate: jax.Array,
    chunk: int | None = None,
) -> Values:
    """Computes the batch size of coupled adaptive batch sizes, for sgd.

    It is learning_rate * sum ||g_i - g||^2 / (B loss), in examples: the batch size for
    which the expected gain of a step per example is largest, if the smallest possible
    loss is 0.

    Args:
      loss: (params, batch) -> f32[], the mean of the losses of the examples.
      params: the parameters before the step.
      batch: leaves [batch, ...].
      grads: the gradient of this batch.
      learning_rate: f32[], of this step.
      chunk: the number of gradients that are computed together; None: as
        `examples.usual_chunk` says.

    Returns:
      `batch_size`, f32[]; NaN where the loss is not above 0.

    Raises:
        Refusal: see `examples.deviations`.

    Source:
      Balles, Romero and Hennig, "Coupling Adaptive Batch Sizes with Learning Rates",
      2017.
    """
    found = deviations(loss, params, batch, grads, chunk)
    chunk = usual_chunk(params) if chunk is None else chunk
    losses = over_chunks(lambda x: ((), each_loss(loss, params, x)), batch, chunk)[1]
    noise = found.squares.mean()
    return {"batch_size": learning_rate * trees.ratio(noise, losses.mean())}


def _mean(tree: Tree) -> jax.Array:
    """Computes the mean over all coordinates of a tree: f32[]."""
    num_params = sum(x.size for x in jax.tree.leaves(tree))
    return trees.total(jax.tree.map(jnp.sum, tree)) / num_params


def _layers(found: Deviations, mean: Params) -> Tree:
    size = found.num_examples
    noise = jax.tree.map(lambda e: e.sum() / (size - 1), found.coordinates)
    return jax.tree.map(
        lambda square, s: trees.ratio(square - s / size, s), trees.squares(mean), noise
    )
