"""Norms of parameters, gradients and updates, for each leaf and in total.

All functions return trees of scalars: pytrees shaped like the parameters with one f32[]
per leaf. A ratio whose denominator is 0, such as the ratio of an update to a bias that
begins at 0, is NaN.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.counts import as_whole
from gradjax.diagnostics import trees
from gradjax.errors import Refusal
from gradjax.optimizers.decompositions import eigh
from gradjax.types import Key, Params

_SMALL = 64  # the shorter side of a matrix up to which its Gram matrix is diagonalised


def layer_norms(params: Params, grads: Params, updates: Params) -> dict[str, Any]:
    """Computes l2 norms, root mean squares and their ratios.

    The RMS of a leaf x is ||x|| / sqrt(size of x). Under sgd the ratio of the update to
    the weights is learning_rate * ||g|| / ||w||, and that of the update to the gradient
    is the learning rate.

    Args:
      params: the parameters before the step.
      grads: the gradient of the batch, before the optimizer clips it.
      updates: what the step added to the parameters.

    Returns:
      Trees of scalars `params_norm`, `grads_norm`, `updates_norm`, `params_rms`,
      `grads_rms`, `updates_rms`, `update_to_weight`, `update_to_gradient`, and the same
      values of the complete vector, f32[], as `total_params_norm` and so on.
    """
    sizes = [jnp.size(leaf) for leaf in jax.tree.leaves(params)]
    roots = np.sqrt([*sizes, sum(sizes)])
    # A vector holds the values of all leaves and the total, so that a compiled program
    # has one small operation for all of them.
    named = {"params": params, "grads": grads, "updates": updates}
    norms = {name: _norms(tree) for name, tree in named.items()}
    vectors = {f"{name}_norm": norm for name, norm in norms.items()}
    vectors |= {
        f"{name}_rms": norm / jnp.asarray(roots, norm.dtype)
        for name, norm in norms.items()
    }
    for label, below in (("weight", "params"), ("gradient", "grads")):
        vectors[f"update_to_{label}"] = trees.ratio(norms["updates"], norms[below])
    found: dict[str, Any] = {}
    for name, (*leaves, total) in vectors.items():
        found[name] = jax.tree.unflatten(jax.tree.structure(params), leaves)
        found[f"total_{name}"] = total
    return found


def _norms(tree: Params) -> jax.Array:
    """Returns the norm of each leaf, and at last that of all: f32[leaves + 1]."""
    sums = jnp.stack(jax.tree.leaves(trees.squares(tree)))
    return jnp.sqrt(jnp.append(sums, sums.sum()))


def largest(params: Params, grads: Params, updates: Params) -> dict[str, Any]:
    """Computes the largest absolute value of each leaf.

    Args:
      params: the parameters before the step.
      grads: the gradient of the batch.
      updates: what the step added to the parameters.

    Returns:
      Trees of scalars `params`, `grads` and `updates`.
    """
    named = {"params": params, "grads": grads, "updates": updates}
    return {
        name: jax.tree.map(lambda x: jnp.max(jnp.abs(x)), trees.widened(tree))
        for name, tree in named.items()
    }


def effective_rates(params: Params, learning_rate: jax.Array) -> dict[str, Any]:
    """Computes learning_rate / ||w||^2, the rate of weights whose scale has no effect.

    If the loss does not depend on the norm of w, as below a normalisation, a step of
    sgd turns w as a step with this rate turns w / ||w||.

    Args:
      params: the parameters before the step.
      learning_rate: f32[], of this step.

    Returns:
      A tree of scalars `effective_rate`; NaN where the weights are 0.

    Source:
      van Laarhoven, "L2 Regularization versus Batch and Weight Normalization", 2017.
    """
    sums = trees.squares(params)
    rates = jax.tree.map(lambda x: trees.ratio(learning_rate, x), sums)
    return {"effective_rate": rates}


def spectral_norms(
    params: Params, updates: Params, key: Key, num_iterations: int = 20
) -> dict[str, Any]:
    """Computes spectral norms of weights and updates, and their spectral scale.

    A leaf is seen as a matrix [n_in, n_out]: its last axis is the output, all other
    axes are the input, and a vector has n_in = 1. The scale is the spectral norm
    divided by sqrt(n_out / n_in); the spectral condition for learning features asks
    that it is of order 1 for weights and for updates at every width.

    Args:
      params: the parameters before the step.
      updates: what the step added to the parameters.
      key: of the random start vectors.
      num_iterations: products with W'W in the power iteration for a matrix whose
        shorter side is above 64. Its result is a lower bound. For smaller matrices the
        result is exact to rounding.

    Returns:
      Trees of scalars `params`, `updates`, `params_scale` and `updates_scale`.

    Raises:
        Refusal: num_iterations is not a whole number of at least 1.

    Source:
      Yang, Simon and Bernstein, "A Spectral Condition for Feature Learning", 2023.
    """
    if (as_whole(num_iterations) or 0) < 1:
        raise Refusal(f"num_iterations={num_iterations!r}: expected at least 1")
    leaves, structure = jax.tree.flatten(params)
    keys = jax.tree.unflatten(structure, list(jax.random.split(key, len(leaves))))
    found = {}
    for name, tree in (("params", params), ("updates", updates)):
        norms = jax.tree.map(lambda x, k: _spectral(x, k, num_iterations), tree, keys)
        found[name] = norms
        found[f"{name}_scale"] = jax.tree.map(_over_scale, norms, params)
    return found


def _matrix(x: jax.Array) -> jax.Array:
    """Returns an array as a matrix [n_in, n_out]."""
    return trees.wide(x).reshape(-1, x.shape[-1] if x.ndim else 1)


def _over_scale(norm: jax.Array, leaf: jax.Array) -> jax.Array:
    num_in, num_out = _matrix(leaf).shape
    return norm * (num_in / num_out) ** 0.5


def _spectral(leaf: jax.Array, key: Key, num_iterations: int) -> jax.Array:
    matrix = _matrix(leaf)
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T  # [long, short]
    # The norm is taken out, because squares of small updates underflow.
    size = jnp.max(jnp.abs(matrix))
    matrix = matrix / jnp.where(size > 0.0, size, 1.0)
    if matrix.shape[1] <= _SMALL:
        gram = jnp.matmul(matrix.T, matrix, precision="highest")
        # The largest eigenvalue alone is exact to rounding; small ones are not.
        return size * jnp.sqrt(jnp.maximum(eigh(gram)[0][-1], 0.0))
    return size * _power(matrix, key, num_iterations)


def _power(matrix: jax.Array, key: Key, num_iterations: int) -> jax.Array:
    def normed(vector: jax.Array) -> jax.Array:
        norm = jnp.linalg.norm(vector)
        return vector / jnp.where(norm > 0.0, norm, 1.0)

    def times(vector: jax.Array) -> jax.Array:
        return jnp.matmul(matrix, vector, precision="highest")

    def advance(_: int, vector: jax.Array) -> jax.Array:
        return normed(jnp.matmul(matrix.T, times(vector), precision="highest"))

    start = jax.random.normal(key, matrix.shape[1:], matrix.dtype)
    vector = jax.lax.fori_loop(0, num_iterations, advance, normed(start))
    return jnp.linalg.norm(times(vector))
