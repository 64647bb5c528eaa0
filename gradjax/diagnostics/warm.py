"""Measures of the curvature in a run, each of which starts near its last result."""

from typing import Any

import jax
import jax.numpy as jnp

from gradjax.diagnostics.directional import directional_sharpness
from gradjax.diagnostics.eigenvalues import (
    Eigenvalues,
    smallest_eigenvalue,
    top_eigenvalues,
)
from gradjax.diagnostics.preconditioned import (
    adam_preconditioner,
    preconditioned_eigenvalues,
)
from gradjax.diagnostics.products import Loss
from gradjax.types import Batch, Key, Params

Values = dict[str, jax.Array]


def sharpness_memory(params: Params, k: int = 1) -> Params:
    """Returns the vectors of a first start: zeros, which are as none; f[k, *shape]."""
    return jax.tree.map(
        lambda x: jnp.zeros((k, *x.shape), jnp.promote_types(x.dtype, jnp.float32)),
        params,
    )


def sharpness_of_run(
    loss: Loss,
    params: Params,
    batch: Batch,
    learning_rate: jax.Array,
    key: Key,
    memory: Params,
    k: int = 1,
    num_products: int = 8,
) -> tuple[Values, Params]:
    """Estimates the k largest eigenvalues of the Hessian by Lanczos with a warm start.

    The start is the eigenvectors of the last measurement and a fresh random direction,
    so few products are enough while the eigenvectors change slowly. The first
    measurements have larger residuals.

    Args:
      loss: (params, batch) -> f[].
      params: the parameters before the step.
      batch: the examples of the loss.
      learning_rate: f[], at this step.
      key: of the random direction.
      memory: the eigenvectors of the last measurement.
      k: the number of eigenvalues.
      num_products: the number of Hessian products.

    Returns:
      `""`: the sharpness, which is the largest eigenvalue; `residual`: an eigenvalue of
      the Hessian lies within it; `times_rate`: the sharpness times the learning rate,
      which is 2 at the edge of stability of gradient descent; with k > 1 also
      `eigenvalues`, f[k], in decreasing order. And the new memory.
    """
    found = top_eigenvalues(
        loss, params, batch, key=key, k=k, num_products=num_products, start=memory
    )
    return _values(found, learning_rate), found.vectors


def smallest_of_run(
    loss: Loss,
    params: Params,
    batch: Batch,
    key: Key,
    memory: Params,
    num_products: int = 8,
) -> tuple[Values, Params]:
    """Estimates the smallest eigenvalue of the Hessian, with a warm start.

    Args:
      loss: (params, batch) -> f[].
      params: the parameters before the step.
      batch: the examples of the loss.
      key: of the random direction.
      memory: the eigenvector of the last measurement.
      num_products: the number of Hessian products.

    Returns:
      `""`, the most negative eigenvalue, and `residual`: an eigenvalue of the Hessian
      lies within it. And the new memory.
    """
    found = smallest_eigenvalue(
        loss, params, batch, key=key, num_products=num_products, start=memory
    )
    return {"": found.values[0], "residual": found.residuals[0]}, found.vectors


def adam_sharpness(
    loss: Loss,
    params: Params,
    batch: Batch,
    opt_state_after: Any,
    learning_rate: jax.Array,
    key: Key,
    memory: Params,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    num_products: int = 8,
) -> tuple[Values, Params]:
    """Estimates the sharpness in the metric of Adam, with a warm start.

    It is the largest eigenvalue of P^-1/2 H P^-1/2 with Adam's preconditioner P at this
    step. Adam with b1 = 0.9 is at the edge of stability where its product with the
    learning rate is (2 + 2 b1) / (1 - b1) = 38.

    Args:
      loss: (params, batch) -> f[].
      params: the parameters before the step.
      batch: the examples of the loss.
      opt_state_after: the state of the optimizer with which the step was taken; it has
        `nu` and `count` in one place.
      learning_rate: f[], at this step.
      key: of the random direction.
      memory: the eigenvector of the last measurement.
      b1: the decay of the momentum of the optimizer.
      b2: the decay of its second moment.
      eps: the number that it adds to the root.
      num_products: the number of Hessian products.

    Returns:
      `""`, `residual` and `times_rate`, as `sharpness` does; and the new memory.

    Source:
      Cohen et al., "Adaptive Gradient Methods at the Edge of Stability", 2022
      (arXiv:2207.14484).
    """
    preconditioner = adam_preconditioner(opt_state_after, b1, b2, eps)
    found = preconditioned_eigenvalues(
        loss,
        params,
        batch,
        preconditioner,
        key=key,
        num_products=num_products,
        start=memory,
    )
    return _values(found, learning_rate), found.vectors


def directions(
    loss: Loss, params: Params, batch: Batch, grads: Params, updates: Params
) -> Values:
    """Computes d' H d / |d|^2 along the gradient and along the update of the step.

    Args:
      loss: (params, batch) -> f[].
      params: the parameters before the step.
      batch: the examples of the loss.
      grads: the gradient of the loss.
      updates: the change of the parameters in the step.

    Returns:
      `gradient` and `update`, f[] each; NaN if the direction is 0.
    """
    named = {"gradient": grads, "update": updates}
    return {
        name: directional_sharpness(loss, params, batch, one)
        for name, one in named.items()
    }


def _values(found: Eigenvalues, learning_rate: jax.Array) -> Values:
    top = found.values[0]
    values = {
        "": top,
        "residual": found.residuals[0],
        "times_rate": top * learning_rate,
    }
    many = {"eigenvalues": found.values} if found.values.shape[0] > 1 else {}
    return {**values, **many}
