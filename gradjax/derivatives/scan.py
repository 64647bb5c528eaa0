"""A scan over training steps that has derivatives, forward and backward.

The compiled loop of a run has a traced end and so no reverse derivative. This one has
a static number of steps; both have the same body, so they take the same steps.
"""

from typing import Any

import jax
import jax.numpy as jnp

from gradjax.training import step as steps
from gradjax.types import Hparams, Plan, StepInfo, TrainState


def scan(
    plan: Plan,
    num_steps: int,
    state: TrainState,
    own: tuple[Hparams, jax.Array],
    start: jax.Array,
    arrays: Any,
) -> tuple[TrainState, StepInfo]:
    """Takes `num_steps` steps from step `start` on.

    Args:
      plan: the static part of the run.
      num_steps: how many steps.
      state: before the first of them.
      own: hyperparameters f32[] each, and the seed u32[].
      start: u32[], the number of the first step.
      arrays: what the train split's source takes from; None without data.

    Returns:
      The state after the last step, and the reports of the steps, f32[steps] each.
    """
    hparams, seed = own
    taken = steps.body_of_loop(plan, hparams, seed, arrays)

    def body(state: TrainState, xs: Any) -> tuple[TrainState, StepInfo]:
        return taken(state, *xs)

    numbers = start + jnp.arange(num_steps, dtype=jnp.uint32)
    indices = steps.batch_indices(plan, seed, start, num_steps)
    return jax.lax.scan(body, state, (numbers, indices))
