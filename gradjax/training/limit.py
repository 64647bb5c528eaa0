"""The limit of gradients of a run, for an optimizer whose steps differ in their number.

A line search computes as many gradients in a step as it needs. So that it spends as
many as another optimizer, its run stops after the first step at which the limit is
reached, and not after a number of steps.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradjax import optimizers
from gradjax.errors import Refusal
from gradjax.types import Plan, TrainState

MAX_GRADIENTS = 2**24  # the last whole number up to which a float32 counts


class Limited(NamedTuple):
    """A step of a run with a limit of gradients."""

    goes_on: jax.Array  # bool[], whether any are left before the step
    opt_state: Any  # after the step; that before it if none are left
    num_gradients: jax.Array  # f32[], spent after the step


def check(plan: Plan) -> None:
    """Refuses a limit that cannot be counted, or that the schedule cannot follow.

    Args:
      plan: the static part of the run.

    Raises:
        Refusal: a limit above 2**24, from which on a float32 does not change if 1 is
            added; or one of an optimizer with `multi_steps`, whose schedule counts
            updates and not gradients.
    """
    if plan.max_gradients is None:
        return
    asked = f"max_gradients={plan.max_gradients}"
    if plan.max_gradients > MAX_GRADIENTS:
        raise Refusal(
            f"{asked}: must be at most {MAX_GRADIENTS}, as gradients are counted in"
            " float32"
        )
    every = max(optimizers.steps_per_update(plan.optimizer).values(), default=1)
    if every > 1:
        raise Refusal(
            f"{asked}: the optimizer makes an update in {every} steps (multi_steps),"
            " and its schedule cannot end with a number of gradients; num_steps alone"
            " can limit it"
        )


def limited(
    plan: Plan, state: TrainState, opt_state: Any
) -> tuple[dict[str, jax.Array], Limited | None]:
    """Returns the figures of a step, and what the limit of gradients does to it.

    Steps after the limit compute no gradient that counts, and change nothing.

    Args:
      plan: the static part of the run.
      state: before the step.
      opt_state: after the step.

    Returns:
      The figures that the optimizer has measured, with the gradients that count; and
      the effect, None without a limit.
    """
    figures = optimizers.figures(plan.optimizer, opt_state)
    spent = state.num_gradients
    if plan.max_gradients is None or spent is None:
        return figures, None
    goes_on = spent < plan.max_gradients
    usual = optimizers.num_gradients(plan.optimizer)
    count = jnp.asarray(figures.get("num_gradients", usual), jnp.float32)
    count = jnp.where(goes_on, count, 0.0)
    kept = jax.tree.map(
        lambda new, old: jnp.where(goes_on, new, old), opt_state, state.opt_state
    )
    figures = {**figures, "num_gradients": count.astype(float)}
    return figures, Limited(goes_on, kept, spent + count)
