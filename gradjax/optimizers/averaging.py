"""Averages of the parameters, at which an optimizer is evaluated."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from gradjax.optimizers.build import find_state
from gradjax.optimizers.transformation import Transformation, transformation
from gradjax.optimizers.weak import at_least_float32
from gradjax.types import Params


class AverageState(NamedTuple):
    """The weighted sum of the parameters so far, and the sum of the weights."""

    total: Params
    weight: jax.Array  # f32[]
    inner_state: Any


def average(inner: Transformation, decay: float = 0.999) -> Transformation:
    """Evaluates at an average of the parameters: a <- decay a + (1 - decay) params.

    The average starts at zero and is divided by the sum of its weights, as Adam
    corrects the bias of its moments. So an early average is nearly a plain mean.

    Source: Polyak and Juditsky 1992.
    """

    def init(params: Params) -> AverageState:
        total = jax.tree.map(lambda x: jnp.zeros(x.shape, at_least_float32(x)), params)
        return AverageState(total, jnp.float32(0.0), inner.init(params))

    def update(
        grads: Any, state: AverageState, params: Any = None, **extras: Any
    ) -> tuple[Any, AverageState]:
        updates, inner_state = inner.update(grads, state.inner_state, params, **extras)
        moved = optax.apply_updates(params, updates)
        total, weight = jax.tree.map(
            lambda old, new: _blend(decay, old, new.astype(old.dtype)),
            (state.total, state.weight),
            (moved, jnp.float32(1.0)),
        )
        return updates, AverageState(total, weight, inner_state)

    return transformation(init, update)


def _blend(decay: Any, old: jax.Array, new: jax.Array) -> jax.Array:
    return (decay * old + (1.0 - decay) * new).astype(old.dtype)


def averaged_params(opt_state: Any, params: Params) -> Params:
    """Returns the average of the parameters that `average` has accumulated.

    Before the first step there is no average, and `params` is returned.

    Args:
      opt_state: the state of an optimizer that contains `average`.
      params: the current parameters.
    """
    state = find_state(AverageState, opt_state)
    is_first, weight = state.weight == 0.0, jnp.maximum(state.weight, 1e-30)
    return jax.tree.map(
        lambda total, x: jnp.where(is_first, x, (total / weight).astype(x.dtype)),
        state.total,
        params,
    )


def schedule_free_params(opt_state: Any, params: Params) -> Params:
    """Returns the averaged iterate x of Defazio et al. 2024, which is evaluated."""
    state = find_state(contrib.ScheduleFreeState, opt_state)
    return contrib.schedule_free_eval_params(state, params)
