"""What every loop over the steps of a run shares: the body and the order of batches.

**The gradient of a step is written to memory, with diagnostics and without.** The loop
of a step that is measured carries its gradient. The compiler then computes it apart
from the update, and the last bits of a run can differ from those where it is fused with
the update. So the loop of the other steps has it written, too: on a CPU by `written`,
and on accelerators by an optimization barrier (`gradients.kept_apart`), because a
condition there waits for the host. Two gradients are exempt, and a measurement computes
them again: one that the optimizer does not take, because the compiler then computes
none; and those of single examples, because of their memory.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradjax import optimizers
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
      derives the key and calls `step.step_with_parts`.
    """
    given = inputs(plan, hparams, seed, arrays)

    def body(
        state: TrainState, i: jax.Array, indices: Any
    ) -> tuple[TrainState, StepInfo, Params]:
        given_now = given(i, indices)
        after, info, parts = steps.step_with_parts(plan, state, *given_now, i)
        return after, info, parts.grads

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


class StepShapes(NamedTuple):
    """The shapes of what a step gives beside the next state."""

    info: StepInfo  # f32[] each
    grads: Params  # of the gradient that is written to memory; () if none is


def step_shapes(
    plan: Plan, state: TrainState, hparams: Hparams, arrays: Any
) -> StepShapes:
    """Returns the shapes of what a step gives, with the arguments of `body_of_loop`."""
    zero = jnp.uint32(0)

    def first() -> tuple[TrainState, StepInfo, Params]:
        indices = batch_indices(plan, zero, zero, 1, arrays)
        body = body_of_loop(plan, hparams, zero, arrays)
        return body(state, zero, None if indices is None else indices[0])

    jaxpr, (_, info, grads) = jax.make_jaxpr(first, return_shape=True)()
    outputs = jaxpr.jaxpr.outvars
    num_grads = len(jax.tree.leaves(grads))
    others, own = outputs[: len(outputs) - num_grads], outputs[-num_grads:]
    is_one = optimizers.gradient(plan.optimizer) == "batch"
    is_written = is_one and num_grads > 0 and _read(jaxpr.jaxpr, others, own)
    return StepShapes(info, grads if is_written else ())


def _read(jaxpr: Any, outputs: list[Any], values: list[Any]) -> bool:
    """Returns whether the outputs of a jaxpr depend on any of these values of it."""
    needed = {id(one) for one in outputs}
    for equation in reversed(jaxpr.eqns):
        if any(id(one) in needed for one in equation.outvars):
            needed |= {id(one) for one in equation.invars}
    return any(id(one) in needed for one in values)


def written(state: TrainState, grads: Params, never: jax.Array) -> TrainState:
    """Returns the state after a step; the gradient of the step is written to memory.

    On a CPU a branch reads the gradient, and what a branch reads the compiler does not
    fuse with other operations. It is not taken, so nothing is computed.

    Args:
      state: after the step.
      grads: of the step; () if none is written.
      never: bool[], false in each call, which the compiler does not know.
    """
    if jax.default_backend() != "cpu" or not jax.tree.leaves(grads):
        return state

    def is_finite(grads: Params) -> jax.Array:
        return jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(grads)]).all()

    is_sound = jax.lax.cond(never, is_finite, lambda _: jnp.bool(True), grads)
    return state._replace(alive=state.alive & is_sound)
