"""The sharpness in the metric of an optimizer that scales each element."""

from typing import Any

import jax
import jax.numpy as jnp

from gradjax.diagnostics.eigenvalues import Eigenvalues, Options, outermost
from gradjax.diagnostics.products import Loss, curvature
from gradjax.diagnostics.vectors import check_like
from gradjax.errors import Refusal
from gradjax.types import Batch, Key, Params

Number = Any  # f[], or a float


def preconditioned_sharpness(
    loss: Loss,
    params: Params,
    batch: Batch,
    preconditioner: Params,
    *,
    key: Key | None = None,
    num_products: int = 20,
) -> jax.Array:
    """Estimates the largest eigenvalue of P^-1/2 H P^-1/2, f[].

    An optimizer whose update is -rate * P^-1 * gradient is stable on a quadratic while
    this value is below 2 / rate; Adam with frozen moments, and with the momentum b1,
    while it is below (2 + 2 b1) / ((1 - b1) rate).

    Args:
      loss: (params, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of the loss, a pytree or None.
      preconditioner: the diagonal P, a pytree like the parameters of positive values;
        with another value the result is NaN. `adam_preconditioner` makes that of Adam.
      key: of the random start; None: jax.random.key(0).
      num_products: the number of Hessian products.

    Raises:
      Refusal: another shape of the preconditioner, or as `top_eigenvalues` does.

    Source:
      Cohen et al., "Adaptive Gradient Methods at the Edge of Stability", 2022
      (arXiv:2207.14484).
    """
    key = jax.random.key(0) if key is None else key
    given = {"key": key, "num_products": num_products}
    found = preconditioned_eigenvalues(loss, params, batch, preconditioner, **given)
    return found.values[0]


def preconditioned_eigenvalues(
    loss: Loss,
    params: Params,
    batch: Batch,
    preconditioner: Params,
    *,
    key: Key,
    k: int = 1,
    num_products: int = 20,
    start: Any = None,
) -> Eigenvalues:
    """Estimates the k largest eigenvalues of P^-1/2 H P^-1/2.

    Args:
      loss: (params, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of the loss, a pytree or None.
      preconditioner: as `preconditioned_sharpness` takes it.
      key: of the random direction of the start.
      k: the number of eigenvalues.
      num_products: the number of Hessian products, at least k.
      start: the `vectors` of an earlier result, as in `top_eigenvalues`.

    Returns:
      Eigenvalues in decreasing order. The vectors are those of this matrix, so the
      direction in the parameters is P^-1/2 times a vector.

    Raises:
      Refusal: as `preconditioned_sharpness` does.
    """
    check_like("preconditioner", preconditioner, params)
    local = curvature(loss, params, batch)
    scale = 1 / jnp.sqrt(local.space.ravel(preconditioner))

    def product(vector: jax.Array) -> jax.Array:
        return scale * local.product(scale * vector)

    return outermost(product, local.space, key, start, Options(k, num_products))


def adam_preconditioner(
    opt_state: Any, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-8
) -> Params:
    """Computes the preconditioner of Adam, (1 - b1^t) (sqrt(nu / (1 - b2^t)) + eps).

    The factor 1 - b1^t belongs to it because Adam divides its momentum by this number.

    Args:
      opt_state: a state of optax that has the fields `nu` and `count` in one place, as
        those of adam and adamw have; or the pair (nu, count), with the second moment
        and the number of updates so far, t >= 1.
      b1: the decay of the momentum.
      b2: the decay of the second moment.
      eps: the number that is added to the root.

    Returns:
      A pytree like `nu`, in its types.

    Raises:
      Refusal: no such state, or several of them.

    Source:
      Cohen et al. 2022 (arXiv:2207.14484), equation of the preconditioner.
    """
    nu, count = _second_moment(opt_state)
    count = jnp.asarray(count, jnp.result_type(jnp.float32, *jax.tree.leaves(nu)))
    first, second = 1 - b1**count, 1 - b2**count

    def one(leaf: jax.Array) -> jax.Array:
        return (first * (jnp.sqrt(leaf / second) + eps)).astype(leaf.dtype)

    return jax.tree.map(one, nu)


def _second_moment(opt_state: Any) -> tuple[Any, Any]:
    """Returns the second moment and the number of updates of a state, or of a pair."""

    def is_found(node: Any) -> bool:
        return hasattr(node, "nu") and hasattr(node, "count")

    nodes = jax.tree.leaves(opt_state, is_leaf=is_found)
    found = [node for node in nodes if is_found(node)]
    if len(found) == 1:
        return found[0].nu, found[0].count
    if not found and type(opt_state) is tuple and len(opt_state) == 2:
        nu, count = opt_state
        if isinstance(count, int) or getattr(count, "ndim", None) == 0:
            return nu, count
    said = f"found {len(found)} states with `nu` and `count`"
    raise Refusal(f"opt_state: {said}; expected one, or the pair (nu, count)")
