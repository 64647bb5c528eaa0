"""Stale gradients: the update of step t is made from the gradient of step t - delay."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradjax.optimizers.transformation import Transformation, transformation
from gradjax.types import Entry, Params


class DelayedState(NamedTuple):
    """The gradients on their way; the one of step t lies at t % delay."""

    grads: Any  # leaves [delay, ...]
    values: jax.Array  # f32[delay]: the losses that they are the gradients of
    inner_state: Any


def delayed(inner: Transformation, delay: int = 1) -> Transformation:
    """Asynchronous training with a constant staleness: x(t+1) = x(t) + u(g(x(t - d))).

    The gradient of step t, with its loss, reaches the inner rule `delay` steps later,
    while the parameters have moved on. Until the first arrives nothing moves, and the
    inner rule's own step number starts then. On a curvature h, gradient descent at rate
    r is stable up to r h = 2 sin(pi / (4 delay + 2)): 2 without delay, 1 at a delay of
    1, 0.62 at 2. Any problem may be minimised so.

    Args:
      inner: the rule that gets the old gradients.
      delay: steps; 0 is the inner rule itself. Costs that many copies of the gradient.

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
    refuses=("grad", "value_fn", "obj_fn", "value_and_grad_fn"),
    paper="Zinkevich, Langford and Smola 2009",
)
