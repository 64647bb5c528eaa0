"""Noise that is weighted by the curvature: B_noise and the Takeuchi criterion.

H is the Hessian of the loss of the batch. Its products are derivatives of the gradient
along a vector, by `jax.jvp`, which cost about two gradients each.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gradjax.counts import as_whole
from gradjax.diagnostics import trees
from gradjax.diagnostics.examples import Loss, count, deviations, each_loss, one
from gradjax.diagnostics.noise import Memory, Values, noise_scale_memory, running
from gradjax.errors import Refusal
from gradjax.types import Batch, Key, Params


def curved_noise_scale_memory(params: Params) -> Memory:
    """Returns the memory of the running means: no batch has been measured."""
    return noise_scale_memory(params)


def curved_noise_scale(
    loss: Loss,
    params: Params,
    batch: Batch,
    grads: Params,
    key: Key,
    memory: Memory,
    num_probes: int | None = 4,
    decay: float = 0.99,
) -> tuple[Values, Memory]:
    """Estimates B_noise = tr(H Sigma) / (G'HG) as a ratio of running means.

    With deviations e_i = g_i - g and independent random signs s_i, the vector v = sum
    s_i e_i has the expectation E[v'Hv] = sum e_i'He_i = (B - 1) tr(H Sigma), and it is
    one gradient of weighted losses. The part below is g'Hg - tr(H Sigma) / B, because a
    batch adds its own noise to g'Hg. If H is a multiple of the identity, B_noise is the
    simple noise scale.

    Args:
      loss: (params, batch) -> f32[], the mean of the losses of the examples.
      params: the parameters before the step.
      batch: leaves [batch, ...].
      grads: the gradient of this batch.
      key: of the signs.
      memory: the running sums of both parts.
      num_probes: the number of vectors v, each for one gradient and one Hessian
        product. None: the sum over the examples without signs, which is exact and costs
        a Hessian product per example.
      decay: as in `noise.noise_scale`.

    Returns:
      As `noise.noise_scale`, with `trace` = tr(H Sigma) and `squared_gradient` = G'HG.
      `noise_scale` is NaN while the mean of G'HG is not above 0.

    Raises:
        Refusal: the batch has fewer than 2 examples, num_probes is not None and not a
            whole number of at least 1, or decay is outside (0, 1].

    Source:
      McCandlish et al., "An Empirical Model of Large-Batch Training", 2018.
    """
    size = count(batch)
    mean = trees.widened(grads)

    def curvature(vector: Params) -> jax.Array:
        return trees.dot(vector, _hessian_product(loss, params, batch, vector))

    if num_probes is None:
        gradient = jax.grad(one(loss))
        parts = jax.lax.map(
            lambda x: curvature(trees.difference(gradient(params, x), mean)), batch
        )
        trace = parts.sum() / (size - 1)
    else:
        signed = _signed(loss, params, batch, mean)
        parts = jax.lax.map(
            lambda k: curvature(signed(k)), jax.random.split(key, _whole(num_probes))
        )
        trace = parts.mean() / (size - 1)
    return running(trace, curvature(mean) - trace / size, memory, decay)


def takeuchi(
    loss: Loss,
    params: Params,
    batch: Batch,
    grads: Params,
    key: Key,
    num_probes: int = 8,
    chunk: int | None = None,
    eps: float = 1e-7,
) -> Values:
    """Estimates two forms of the Takeuchi information criterion, tr(H^-1 C).

    C is the mean of g_i g_i', which is not centred. The trace and the diagonal of H are
    means over random signs z: z'Hz and z * Hz (Hutchinson). They are exact if H is
    diagonal.

    Args:
      loss: (params, batch) -> f32[], the mean of the losses of the examples.
      params: the parameters before the step.
      batch: leaves [batch, ...].
      grads: the gradient of this batch.
      key: of the signs.
      num_probes: the number of vectors z, with one Hessian product each.
      chunk: the number of gradients that are computed together; None: as
        `examples.usual_chunk` says.
      eps: is added to H_kk. The diagonal of few vectors z is noisy, and one H_kk near 0
        decides the sum.

    Returns:
      f32[] each: `tic_trace` = tr(C) / tr(H), NaN where tr(H) is not above 0; and
      `tic_diagonal` = sum_k C_kk / (H_kk + eps).

    Raises:
        Refusal: num_probes is not a whole number of at least 1, or see
            `examples.deviations`.

    Source:
      Thomas et al., "On the Interplay between Noise and Curvature and its Effect on
      Optimization and Generalization", 2020.
    """
    found = deviations(loss, params, batch, grads, chunk)
    moments = jax.tree.map(
        lambda e, g: e / found.num_examples + g * g,
        found.coordinates,
        trees.widened(grads),
    )

    def diagonal(key: Key) -> Params:
        signs = _signs_like(params, key)
        product = _hessian_product(loss, params, batch, signs)
        return jax.tree.map(jnp.multiply, signs, product)

    probes = jax.lax.map(diagonal, jax.random.split(key, _whole(num_probes)))
    hessian = jax.tree.map(lambda x: x.mean(axis=0), probes)
    parts = jax.tree.map(lambda c, h: (c / (h + eps)).sum(), moments, hessian)
    sums = [trees.total(jax.tree.map(jnp.sum, tree)) for tree in (moments, hessian)]
    return {"tic_trace": trees.ratio(*sums), "tic_diagonal": trees.total(parts)}


def _whole(num_probes: int) -> int:
    if (as_whole(num_probes) or 0) < 1:
        raise Refusal(f"num_probes={num_probes!r}: expected at least 1")
    return int(num_probes)


def _hessian_product(
    loss: Loss, params: Params, batch: Batch, vector: Params
) -> Params:
    """Computes Hv in float32 or wider."""
    tangent = trees.as_params(vector, params)
    gradient = jax.grad(lambda p: loss(p, batch))
    return trees.widened(jax.jvp(gradient, (params,), (tangent,))[1])


def _signed(
    loss: Loss, params: Params, batch: Batch, mean: Params
) -> Callable[[Key], Params]:
    """Makes a function of a key that computes sum s_i e_i with random signs s_i."""
    size = count(batch)

    def signed(key: Key) -> Params:
        signs = jax.random.rademacher(key, (size,), jnp.float32)

        def weighted(params: Params) -> jax.Array:
            return jnp.vdot(signs, each_loss(loss, params, batch))

        grads = trees.widened(jax.grad(weighted)(params))
        return jax.tree.map(lambda x, g: x - signs.sum() * g, grads, mean)

    return signed


def _signs_like(params: Params, key: Key) -> Params:
    leaves, structure = jax.tree.flatten(trees.widened(params))
    keys = jax.random.split(key, len(leaves))
    signs = [
        jax.random.rademacher(k, x.shape, x.dtype)
        for k, x in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, signs)
