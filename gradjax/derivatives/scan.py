"""A scan over training steps that can be differentiated in forward and reverse mode.

The compiled loop of a run has a traced end and therefore no reverse derivative. This
scan has a static number of steps. Both have the same body, so they take the same steps.
"""

from typing import Any

import jax
import jax.numpy as jnp

from gradjax.training import loop
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
      num_steps: the number of steps.
      state: the state before the first step.
      own: the hyperparameters f32[] each, and the seed u32[].
      start: u32[], the number of the first step.
      arrays: the arrays that the source of the train split reads; None without data.

    Returns:
      The state after the last step, and the reports of the steps, f32[steps] each.
    """
    (hparams, seed), plan = own, plan._replace(mesh=None)  # on one device
    take = loop.body_of_loop(plan, hparams, seed, arrays)

    def body(state: TrainState, xs: Any) -> tuple[TrainState, StepInfo]:
        return take(state, *xs)[:2]

    numbers = start + jnp.arange(num_steps, dtype=jnp.uint32)
    indices = loop.batch_indices(plan, seed, start, num_steps, arrays)
    return jax.lax.scan(body, state, (numbers, indices))
