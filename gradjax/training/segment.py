"""A stretch of a run as one pure function: blocks, evaluations.

Which blocks is an argument, so one executable serves the first stretch, every later
one, a last block that is shorter, and the evaluation at the end. All its numbers are
shared by the trials that it is mapped over: each `cond` stays a branch.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradjax import optimizers
from gradjax.training import evaluation
from gradjax.training import step as steps
from gradjax.training.blocks import num_blocks
from gradjax.types import Hparams, Plan, StepInfo, TrainState

Means = dict[str, jax.Array]  # metric -> f32[...]


class Seen(NamedTuple):
    """What a stretch reports; NaN where nothing was due."""

    infos: StepInfo  # f32[blocks, block_steps]
    validation: Means  # f32[blocks]: after each block, where an evaluation is due
    last: dict[str, Means]  # split -> metric -> f32[], at the end: `last_splits`
    params: Any  # at evaluation, where they are not the state's own; else {}


def segment(
    plan: Plan,
    capacity: int,
    state: TrainState,
    hparams: Hparams,
    seed: jax.Array,
    first: jax.Array,
    count: jax.Array,
    arrays: dict[str, Any],
) -> tuple[TrainState, Seen]:
    """`count` blocks from block `first` on.

    Args:
      plan: what is static.
      capacity: the most blocks that there is room to report.
      state: of the block before.
      hparams: f32[] each.
      seed: u32[].
      first: u32[].
      count: u32[], at most `capacity`.
      arrays: split -> what its source takes from.
    """
    shapes = steps.info_shapes(plan, state, hparams, arrays.get("train"))
    names = evaluation.metric_names(plan, state)
    seen = _nothing(shapes, (capacity, plan.block_steps))
    is_held_out = "validation" in arrays
    held_out = {name: jnp.full(capacity, jnp.nan) for name in names if is_held_out}

    def body(k: jax.Array, carry: Any) -> Any:
        state, seen, held_out = carry
        number = first + k
        start = number * jnp.uint32(plan.block_steps)
        state, info = steps.block_until(
            plan,
            plan.block_steps,
            shapes,
            state,
            hparams,
            seed,
            start,
            arrays.get("train"),
        )
        taken = jnp.minimum((number + 1) * plan.block_steps, plan.num_steps)
        is_due = (taken % plan.eval_every == 0) | (taken == plan.num_steps)
        means = _when(is_due, plan, state, "validation", names, arrays)
        put = _putting(k)
        return state, jax.tree.map(put, seen, info), jax.tree.map(put, held_out, means)

    zero = jnp.zeros_like(count)
    state, infos, held_out = jax.lax.fori_loop(
        zero, count, body, (state, seen, held_out)
    )
    is_over = first + count == num_blocks(plan)
    last = {
        name: _when(is_over, plan, state, name, names, arrays)
        for name in last_splits(arrays)
    }
    own = optimizers.has_eval_params(plan.optimizer)
    params = evaluation.eval_params(plan, state) if own else {}
    return state, Seen(infos, held_out, last, params)


def last_splits(arrays: dict[str, Any]) -> list[str]:
    """The splits that are evaluated at the end alone.

    The training split is not, where another one is there: a pass over it takes as long
    as a fifth of a run of one epoch. Validation is seen on the way.
    """
    held_out = [name for name in arrays if name != "train"]
    return [name for name in held_out or arrays if name != "validation"]


def _when(
    is_due: jax.Array,
    plan: Plan,
    state: TrainState,
    split: str,
    names: list[str],
    arrays: Any,
) -> Means:
    """The metrics over a split where they are due, else NaN; {} without the split."""
    if split not in arrays:
        return {}
    return jax.lax.cond(
        is_due,
        lambda: _evaluated(plan, state, split, arrays),
        lambda: {name: jnp.float32(jnp.nan) for name in names},
    )


def _evaluated(plan: Plan, state: TrainState, split: str, arrays: Any) -> Means:
    params = evaluation.eval_params(plan, state)
    source = getattr(plan.problem.data, split, None)
    means = evaluation.evaluate(plan.problem, params, source, arrays[split])
    return {name: jnp.asarray(mean, jnp.float32) for name, mean in means.items()}


def _nothing(shapes: Any, leading: tuple[int, ...]) -> Any:
    return jax.tree.map(
        lambda x: jnp.full((*leading, *x.shape), jnp.nan, x.dtype), shapes
    )


def _putting(k: jax.Array) -> Any:
    return lambda buffer, value: jax.lax.dynamic_update_index_in_dim(
        buffer, value, k.astype(jnp.int32), 0
    )
