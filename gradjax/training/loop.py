"""What every loop over the steps of a run shares: the body and the order of batches."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradjax.data import streaming
from gradjax.data.order import order, places
from gradjax.training import mesh
from gradjax.training import step as steps
from gradjax.types import Batch, Hparams, Key, Params, Plan, StepInfo, TrainState

Body = Callable[[TrainState, jax.Array, Any], tuple[TrainState, StepInfo, Params]]
Inputs = Callable[[jax.Array, Any], tuple[Batch, Hparams, Key]]


def body_of_loop(plan: Plan, hparams: Hparams, seed: jax.Array, arrays: Any) -> Body:
    """Returns the body that every loop over the steps of a run shares.

    Args:
      plan: the static part of the run.
      hparams: the hyperparameters, f32[] each.
      seed: u32[], from which the keys of the steps are derived.
      arrays: the arrays of the train split's source; None without data.

    Returns:
      A function (state, i u32[], indices) -> (state, info, gradient) that takes step
      `i`. It gathers the batch of `indices`, which are one row of `batch_indices`,
      derives the key and calls `step.step_with_gradient`.
    """
    given = inputs(plan, hparams, seed, arrays)

    def body(
        state: TrainState, i: jax.Array, indices: Any
    ) -> tuple[TrainState, StepInfo, Params]:
        return steps.step_with_gradient(plan, state, *given(i, indices), i)

    return body


def inputs(plan: Plan, hparams: Hparams, seed: jax.Array, arrays: Any) -> Inputs:
    """Returns a function that gives the arguments of a step.

    Args:
      plan: the static part of the run.
      hparams: the hyperparameters, f32[] each.
      seed: u32[], from which the keys of the steps are derived.
      arrays: the arrays of the train split's source; None without data.

    Returns:
      A function (i u32[], indices) -> (batch, hparams, key).
    """
    _, step_key = jax.random.split(jax.random.key(seed))
    data = plan.problem.data
    is_staged = isinstance(arrays, streaming.Staged)
    arrays, size = arrays.examples if is_staged else arrays, plan.batch_size or 1

    def given(i: jax.Array, indices: Any) -> Any:
        batch = None
        if plan.mesh is not None and is_staged:
            batch = mesh.staged_batch(plan.mesh, arrays, indices[0] // size, size)
        elif data is not None:
            batch = data.train.take(arrays, indices)
        batch = mesh.split_batch(plan.mesh, batch)
        return batch, hparams, jax.random.fold_in(step_key, i)

    return given


def batch_indices(
    plan: Plan, seed: jax.Array, start: jax.Array, num_steps: int, arrays: Any = None
) -> Any:
    """Returns where `take` finds the examples of `num_steps` steps from `start` on.

    Batches continue across the end of an epoch, so every batch is full and every
    example is seen once in an epoch.

    Args:
      plan: the static part of the run.
      seed: u32[], on which the order depends.
      start: u32[], the first step.
      num_steps: the number of steps.
      arrays: the arrays of the train split's source. Only staged ones of a streamed
        split matter; without them the result are the indices in the split.

    Returns:
      u32[steps, batch], or None for a problem without data.
    """
    if plan.problem.data is None or plan.batch_size is None:
        return None
    if isinstance(arrays, streaming.Staged):
        return streaming.places(arrays, seed, start, num_steps, plan.batch_size)
    num_examples = plan.problem.data.train.num_examples
    rows = start + jnp.arange(num_steps, dtype=jnp.uint32)
    epoch, position = places(rows, plan.batch_size, num_examples)
    indices = order(seed, epoch.reshape(-1), position.reshape(-1), num_examples)
    return indices.reshape(num_steps, plan.batch_size)


def shapes(
    plan: Plan, state: TrainState, hparams: Hparams, arrays: Any
) -> tuple[StepInfo, Params]:
    """Returns the shapes of the report of a step and of its gradient."""
    zero = jnp.uint32(0)

    def first() -> tuple[StepInfo, Params]:
        indices = batch_indices(plan, zero, zero, 1, arrays)
        body = body_of_loop(plan, hparams, zero, arrays)
        row = None if indices is None else indices[0]
        return body(state, zero, row)[1:]

    return jax.eval_shape(first)
