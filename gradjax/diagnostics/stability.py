"""The stability of a training step, of any optimizer, from the Jacobian of the step.

A step maps the parameters and the state of the optimizer to new ones. Near a minimum a
perturbation of both is multiplied by the Jacobian of this map in each step. Where a
learning rate is too large, an eigenvalue of the Jacobian passes through -1, and the
descent begins to oscillate: on a quadratic with the largest curvature L this happens at
the rate 2 / L for gradient descent, (2 + 2 b) / L with the momentum b, and
(2 + 2 b) / ((1 + 2 b) L) with Nesterov's. No formula of the optimizer is needed here.

The eigenvalue of interest is the one with the least real part. The one of the largest
modulus says nothing, because every direction without curvature has the eigenvalue 1.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.diagnostics.arnoldi import arnoldi, leftmost
from gradjax.diagnostics.context import TakeStep
from gradjax.diagnostics.jacobian import jacobian, vectors
from gradjax.diagnostics.rate_search import bracket
from gradjax.diagnostics.vectors import checked_count, random_unit, unit
from gradjax.errors import Refusal
from gradjax.types import Hparams, Key, Params

_FRESH = 0.1  # the norm of the random direction beside a given start of norm 1


class Leftmost(NamedTuple):
    """The eigenvalue of a step's Jacobian with the least real part.

    Attributes:
      real: f[], its real part.
      imaginary: f[], at least 0; above 0 it is one of a complex pair.
      residual: f[], |J v - value v| of the approximate eigenvector v of norm 1; small
        if the eigenvalue has converged. See `arnoldi.RitzPair`.
      num_held: i32[], the elements at which the step has no derivative; they are held.
      vector: f[n], the real part of v, as a start of a later call.
    """

    real: jax.Array
    imaginary: jax.Array
    residual: jax.Array
    num_held: jax.Array
    vector: jax.Array


class Headroom(NamedTuple):
    """The factor on the learning rate at which the leftmost eigenvalue reaches -1.

    Attributes:
      factor: f[], the geometric mean of the bracket; below 1 the step is past the edge.
        It is infinite if no factor up to 1,024 reaches the edge, 0 if even 1 / 1,024 is
        past it, and NaN if the step is not finite.
      low: f[], the largest factor at which the real part was above -1.
      high: f[], the least factor at which it was not.
      edge: the eigenvalue at the last factor that was computed, near the edge. If its
        imaginary part is above 0, a complex pair reaches the real part -1.
      now: the eigenvalue at the factor 1.
      num_factors: i32[], the factors at which an eigenvalue was computed.
    """

    factor: jax.Array
    low: jax.Array
    high: jax.Array
    edge: Leftmost
    now: Leftmost
    num_factors: jax.Array


def leftmost_eigenvalue(
    take_step: TakeStep,
    params: Params,
    opt_state: Any,
    hparams: Hparams,
    *,
    key: Key,
    num_products: int = 50,
    frozen: str = "",
    start: jax.Array | None = None,
) -> Leftmost:
    """Estimates the leftmost eigenvalue of the Jacobian of a training step.

    The Jacobian is over the parameters and the leaves of floats of the optimizer's
    state. Counters are held, so the correction of Adam's bias is that of this step.

    With the second moment of Adam or RMSprop moving, the step also divides by a root
    that changes, and a complex pair may move left long before a perturbation grows.
    With `frozen="nu"` the real edge of the preconditioned descent remains.

    Pass the data of the loss to the compiled function as arguments. If `take_step`
    takes them from its surroundings, XLA folds constants for minutes.

    Args:
      take_step: (params, opt_state, hparams) -> (params, opt_state), pure.
      params: a pytree of floats.
      opt_state: the state of the optimizer.
      hparams: the third argument of the step, a pytree.
      key: of the random direction of the start.
      num_products: the number of products with the Jacobian, each about the cost of
        a Hessian product; if it is larger than their dimension n, that dimension.
      frozen: the name of a field of the state that is held, such as "nu" for the second
        moment; "": none. See `jacobian.jacobian`.
      start: the `vector` f[n] of an earlier result, near which the eigenvector is
        expected. A random direction is added. None or zeros: a random one alone.

    Returns:
      Leftmost, in the widest type of the leaves, at least float32.

    Raises:
      Refusal: what `jacobian.jacobian` refuses, a count out of its range, or another
        shape of the start.

    Source:
      Arnoldi 1951; the eigenvalue -1 of the update map as the edge of stability as in
      Cohen et al. 2021 (arXiv:2103.00065), section 2, for gradient descent.
    """
    given = jacobian(take_step, params, opt_state, hparams, frozen)
    num_steps = min(checked_count("num_products", num_products, 1), given.space.size)
    start_key, step_key = jax.random.split(key)
    first = random_unit(start_key, given.space)
    if start is not None:
        _check_start(start, given.space.size)
        near = unit(start.astype(first.dtype))
        first = near + jnp.where(jnp.any(near != 0), _FRESH, 1) * first
    first = jnp.where(given.is_held, 0, first)
    pair = leftmost(arnoldi(given.product, first, step_key, num_steps))
    num_held = jnp.sum(given.is_held, dtype=jnp.int32)
    value = pair.value
    return Leftmost(value.real, value.imag, pair.residual, num_held, pair.vector)


def headroom(
    take_step: TakeStep,
    params: Params,
    opt_state: Any,
    hparams: Hparams,
    rates: Sequence[str] = ("learning_rate",),
    *,
    key: Key,
    num_products: int = 50,
    tolerance: float = 1e-3,
    frozen: str = "",
    start: jax.Array | None = None,
) -> Headroom:
    """Finds the factor on the rates at which the leftmost eigenvalue is -1.

    The factor is bracketed from 1 on and the bracket is narrowed until its ends differ
    by the tolerance: every other factor is interpolated, which is exact for gradient
    descent, and every other one bisects. Each eigenvalue starts near the last one.

    For sgd without and with momentum and with Nesterov's, the factor times the rate is
    the bound of `analysis.stability.edge` with the sharpness as the curvature. Sign
    descent and orthogonalised updates do not depend on the size of the gradient, so
    their Jacobian says nothing; use `generalised.generalised_sharpness` there.

    Args:
      take_step: (params, opt_state, hparams) -> (params, opt_state), pure.
      params: a pytree of floats.
      opt_state: the state of the optimizer.
      hparams: name -> f[], the third argument of the step.
      rates: the names of the hyperparameters that the factor multiplies, as
        `plan.optimizer.rates` has them.
      key: of the random direction of each start.
      num_products: the number of products with the Jacobian at each factor.
      tolerance: the largest high / low - 1 of the bracket, above 0.
      frozen: as in `leftmost_eigenvalue`.
      start: likewise.

    Returns:
      Headroom, in the widest type of the leaves, at least float32.

    Raises:
      Refusal: no rates, a rate that is not among the hyperparameters, a tolerance that
        is not positive, or what `leftmost_eigenvalue` refuses.
    """
    _check_rates(rates, hparams)
    if not tolerance > 0:
        raise Refusal(f"tolerance={tolerance!r}: expected a positive number")

    def at(factor: jax.Array, start: Any, index: Any) -> Leftmost:
        scaled = {
            name: hparams[name] * factor.astype(jnp.result_type(hparams[name]))
            for name in rates
        }
        return leftmost_eigenvalue(
            take_step,
            params,
            opt_state,
            {**hparams, **scaled},
            key=jax.random.fold_in(key, index),
            num_products=num_products,
            frozen=frozen,
            start=start,
        )

    space = vectors(params, opt_state, frozen)
    first = jnp.zeros(space.size, space.dtype) if start is None else start
    _check_start(first, space.size)
    zero, none = jnp.zeros((), space.dtype), jnp.zeros((), jnp.int32)
    blank = Leftmost(zero, zero, zero, none, first.astype(space.dtype))
    found = bracket(at, blank, float(tolerance))
    now = found.now
    middle = jnp.sqrt(found.low) * jnp.sqrt(found.high)
    low, high, middle = (
        jnp.where(jnp.isfinite(now.real), x, jnp.nan)
        for x in (found.low, found.high, jnp.where(found.low > 0, middle, 0))
    )
    return Headroom(middle, low, high, found.last, now, found.count)


def _check_rates(rates: Sequence[str], hparams: Hparams) -> None:
    if not rates:
        raise Refusal("rates: there is no learning rate that a factor could multiply")
    for name in rates:
        if name not in hparams:
            known = ", ".join(hparams)
            raise Refusal(f"rates: {name!r} is no hyperparameter; there are: {known}")


def _check_start(start: Any, size: int) -> None:
    if np.shape(start) != (size,):
        raise Refusal(f"start has the shape {np.shape(start)}; expected ({size},)")
