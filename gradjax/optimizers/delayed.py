"""Stale gradients: the update of step t uses the gradient of step t - delay."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradjax.optimizers.extras import OF_THE_LOSS
from gradjax.optimizers.transformation import Transformation, transformation
from gradjax.types import Entry, Params


class DelayedState(NamedTuple):
    """The gradients that are not applied yet; that of step t has index t % delay."""

    grads: Any  # leaves [delay, ...]
    values: jax.Array  # f32[delay]: the losses of the same steps
    inner_state: Any


def delayed(inner: Transformation, delay: int = 1) -> Transformation:
    """Asynchronous training with a constant staleness: x(t+1) = x(t) + u(g(x(t - d))).

    The inner rule receives the gradient and the loss of step t after `delay` steps.
    Until it receives the first gradient, the parameters do not change; its step number
    starts at that step. On a quadratic with curvature h, gradient descent with rate r
    is stable up to r h = 2 sin(pi / (4 delay + 2)), which is 2 without delay, 1 at a
    delay of 1, and 0.62 at 2.

    Args:
      inner: the rule that receives the old gradients.
      delay: the number of steps d. Memory grows by d copies of the gradient; with 0,
        the result is the inner rule itself.

    Source: Zinkevich, Langford and Smola 2009, Slow Learners are Fast; the bound is
    the root of z^(d + 1) - z^d + r h on the unit circle.
    """
    if delay == 0:
        return inner

    def init(params: Params) -> DelayedState:
        empty = jax.tree.map(lambda x: jnp.zeros((delay, *x.shape), x.dtype), params)
        return DelayedState(empty, jnp.zeros(delay), inner.init(params))

    def update(
        grads: Any,
        state: DelayedState,
        params: Any = None,
        *,
        step: jax.Array,
        value: jax.Array,
        **extras: Any,
    ) -> tuple[Any, DelayedState]:
        slot = step % delay
        underway = (state.grads, state.values)
        old_grads, old_value = jax.tree.map(lambda kept: kept[slot], underway)

        def arrive() -> Any:
            seen = {**extras, "step": step - delay, "value": old_value}
            return inner.update(old_grads, state.inner_state, params, **seen)

        def wait() -> Any:
            return optax.tree.zeros_like(grads), state.inner_state

        updates, inner_state = jax.lax.cond(step >= delay, arrive, wait)
        kept_grads, kept_values = jax.tree.map(
            lambda kept, new: kept.at[slot].set(new), underway, (grads, value)
        )
        return updates, DelayedState(kept_grads, kept_values, inner_state)

    return transformation(init, update)


DELAYED = Entry(
    delayed,
    rate=None,
    static=("delay",),
    needs=("step", "value"),
    inner=("inner",),
    refuses=OF_THE_LOSS,
    paper="Zinkevich, Langford and Smola 2009",
)
