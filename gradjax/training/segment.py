"""A segment: successive blocks of a run with their evaluations, as one pure function.

The first block and the number of blocks are traced. So one executable serves the first
segment, every later one, a shorter last block, and the evaluation at the end. All
trials over which the function is mapped share these arguments, so that a `cond` on them
remains a branch.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax import optimizers
from gradjax.training import (
    evaluation,
    loop,
    measuring,
    mesh,
    selection,
    stacked_curves,
)
from gradjax.training import step as steps
from gradjax.types import Hparams, Kept, Params, Plan, StepInfo, TrainState

Means = dict[str, jax.Array]  # metric -> f32[...]


class Form(NamedTuple):
    """The static part of a segment."""

    capacity: int  # blocks that the report has room for
    final_splits: tuple[str, ...]  # splits that are evaluated only at the end of a run


class SegmentInputs(NamedTuple):
    """The blocks that a segment computes; traced, and shared by all trials."""

    first: Any  # u32[], the first block
    count: Any  # u32[], the number of blocks, at most `Form.capacity`
    is_final: Any  # bool[], whether `Form.final_splits` are evaluated after the blocks
    evaluates: Any  # bool[], whether the validation split is evaluated when it is due
    stop: Any  # u32[], the end of the steps
    every: Any  # u32[diagnostics], steps between measurements; 0: there are none


class TrialInputs(NamedTuple):
    """What distinguishes one trial from the others of its program."""

    hparams: Hparams  # f32[] each
    seed: Any  # u32[]
    start: Any = None  # (params, model state or None) before the first step, if given


class TrialState(NamedTuple):
    """What a trial carries from one segment to the next."""

    train: TrainState
    kept: Kept | tuple[()]  # () where the last parameters are kept
    memories: tuple[Any, ...] = ()  # of the diagnostics


class SegmentReport(NamedTuple):
    """What a segment reports; NaN where nothing was computed."""

    infos: StepInfo  # f32[blocks, block_steps]
    validation: Means  # f32[blocks], after each block with an evaluation
    final: dict[str, Means]  # split -> metric -> f32[], for `Form.final_splits`
    params: Any  # the kept parameters; None if they are those of the state
    model_state: Any = None  # of the network, kept with `params`; None likewise
    measured: measuring.Values = ()  # f32[slots] of each curve of each diagnostic
    # The first elements of the leaves of the last gradient. They are not used; without
    # them the compiler would not keep the gradient in a loop without measurements.
    gradient: Any = ()  # f32[leaves]


def inputs(
    plan: Plan,
    first: int,
    count: int,
    is_final: bool,
    timed: tuple[int, Sequence[int]] | None = None,
) -> SegmentInputs:
    """Returns the inputs of a segment of a run, or of steps that are only timed.

    Args:
      plan: the static part of the run.
      first: the first block.
      count: the number of blocks.
      is_final: whether `Form.final_splits` are evaluated.
      timed: the end of the steps that are timed, and the number of steps between two
        measurements of each diagnostic, 0 without measurements. Nothing is evaluated.
    """
    stop, every = timed or (plan.num_steps, [one.every for one in plan.diagnostics])
    return SegmentInputs(
        np.uint32(first),
        np.uint32(count),
        np.bool(is_final),
        np.bool(timed is None),
        np.uint32(stop),
        np.asarray(every, np.uint32),
    )


def init(plan: Plan, own: TrialInputs) -> TrialState:
    """Returns the state of a trial before its first segment."""
    train = steps.init(plan, own.hparams, own.seed, own.start)
    memories = measuring.memories(plan, train, own.hparams, own.seed)
    return TrialState(train, selection.init(plan, train), memories)


def segment(
    plan: Plan,
    form: Form,
    state: TrialState,
    own: TrialInputs,
    which: SegmentInputs,
    arrays: dict[str, Any],
) -> tuple[TrialState, SegmentReport]:
    """Computes the blocks of an interval.

    Args:
      plan: the static part of the run.
      form: the static part of the segment.
      state: the state of the trial after the previous segment.
      own: the hyperparameters and the seed of the trial.
      which: the blocks to compute.
      arrays: split -> the arrays of its source.

    Returns:
      The state after the last block, and the report.
    """
    train = arrays.get("train")
    info_shapes, grads = loop.shapes(plan, state.train, own.hparams, train)
    grads = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), grads)
    metrics = evaluation.metric_shapes(plan, state.train)
    infos = _nan_arrays(info_shapes, (form.capacity, plan.block_steps))
    validation = (
        _nan_arrays(metrics, (form.capacity,)) if "validation" in arrays else {}
    )
    given = measuring.Inputs(own.hparams, own.seed, arrays)
    curve_shapes = measuring.shapes(plan, state.train, given)
    num_steps = form.capacity * plan.block_steps
    values = measuring.buffers(plan, curve_shapes, num_steps)

    def body(k: jax.Array, carry: Any) -> Any:
        state, infos, validation, values, grads = carry
        number = which.first + k
        seen = measuring.Measured(state.memories, values)
        begun = state.train, grads, seen
        carried, seen = _block(plan, info_shapes, begun, given, (number, which))
        trained, info, grads = carried
        means, kept = {}, state.kept
        if validation:
            last, after = (trained, state.kept), (number, which.evaluates)
            means, kept = _validated_if_due(plan, after, last, arrays, metrics)
        put = measuring.put(k)
        infos, validation = jax.tree.map(put, (infos, validation), (info, means))
        after = TrialState(trained, kept, seen.memories)
        return after, infos, validation, seen.values, grads

    zero = jnp.zeros_like(which.count)
    state, infos, validation, values, grads = jax.lax.fori_loop(
        zero, which.count, body, (state, infos, validation, values, grads)
    )
    is_own = state.kept or optimizers.has_eval_params(plan.optimizer)
    kept = _kept(plan, state) if is_own else (None, None)
    final = {
        split: jax.lax.cond(
            which.is_final,
            lambda split=split: _evaluate(plan, *_kept(plan, state), split, arrays),
            lambda: _nan_arrays(metrics),
        )
        for split in form.final_splits
    }
    curves = tuple(map(stacked_curves.unstack, curve_shapes, values))
    first = _first_elements(grads)
    return state, SegmentReport(infos, validation, final, *kept, curves, first)


def _first_elements(tree: Any) -> jax.Array | tuple[()]:
    """Returns the first element of each leaf that has one: f32[leaves]."""
    found = [x[(0,) * x.ndim] for x in jax.tree.leaves(tree) if x.size]
    return jnp.stack(found) if found else ()


def _kept(plan: Plan, state: TrialState) -> tuple[Any, Any]:
    """Returns what a trial keeps: its selected or else its last (params, state)."""
    if state.kept:
        return state.kept.params, state.kept.model_state
    return evaluation.eval_params(plan, state.train), state.train.model_state


def _block(
    plan: Plan,
    infos: Any,
    carry: tuple[TrainState, Params, measuring.Measured],
    own: measuring.Inputs,
    which: tuple[jax.Array, SegmentInputs],
) -> tuple[measuring.Carry, measuring.Measured]:
    """Takes the steps of a block; the last block ends with the run.

    `infos` has the shapes of a report of one step, and `which` are the number of the
    block and the inputs of the segment. The report is NaN for the steps after
    the end of the run.
    """
    state, grads, seen = carry
    number, given = which
    start, first = (k * jnp.uint32(plan.block_steps) for k in (number, given.first))
    train = own.arrays.get("train")
    indices = loop.batch_indices(plan, own.seed, start, plan.block_steps, train)
    taken = loop.body_of_loop(plan, own.hparams, own.seed, train)

    def body(k: jax.Array, carry: Any) -> Any:
        state, infos, _ = carry
        row = None if indices is None else indices[k]
        state, info, grads = taken(state, start + jnp.asarray(k, jnp.uint32), row)
        state, grads = mesh.split_state(plan.mesh, (state, grads))
        return state, jax.tree.map(measuring.put(k), infos, info), grads

    def plain(carry: measuring.Carry, k: Any, stop: Any) -> measuring.Carry:
        return jax.lax.fori_loop(k, stop, body, carry)

    left = given.stop.astype(jnp.int32) - start.astype(jnp.int32)
    count = jnp.minimum(jnp.int32(plan.block_steps), left)
    infos = _nan_arrays(infos, (plan.block_steps,))
    begun = state, infos, grads
    if not plan.diagnostics:
        return plain(begun, jnp.int32(0), count), seen
    steps_of = measuring.BlockSteps(indices, start, count, first, given.every)
    return measuring.block(plan, plain, (begun, seen), own, steps_of)


def _evaluate(
    plan: Plan, params: Any, model_state: Any, split: str, arrays: dict[str, Any]
) -> Means:
    source, own = getattr(plan.problem.data, split, None), arrays[split]
    problem, split_batch = plan.problem, functools.partial(mesh.split_batch, plan.mesh)
    return evaluation.evaluate(problem, params, source, own, model_state, split_batch)


def _validated_if_due(
    plan: Plan,
    after: tuple[jax.Array, jax.Array],
    last: tuple[TrainState, Kept | tuple[()]],
    arrays: dict[str, Any],
    metrics: Any,
) -> tuple[Means, Kept | tuple[()]]:
    """Evaluates the validation split after a block, if an evaluation is due.

    `after` are the number of the block and whether there are evaluations, `last` are
    the state after the block and what was kept before it, and `metrics` has the shapes
    of the metrics. Returns the metrics, NaN without an evaluation, and what is kept
    now.
    """
    trained, kept = last
    number, evaluates = after
    taken = jnp.minimum((number + 1) * plan.block_steps, plan.num_steps)
    is_due = (taken % plan.eval_every == 0) | (taken == plan.num_steps)
    is_due &= evaluates

    def evaluated() -> tuple[Means, Any]:
        params = evaluation.eval_params(plan, trained)
        means = _evaluate(plan, params, trained.model_state, "validation", arrays)
        step = taken.astype(jnp.uint32)
        return means, selection.update(plan, kept, trained, means, step)

    return jax.lax.cond(is_due, evaluated, lambda: (_nan_arrays(metrics), kept))


def _nan_arrays(shapes: Any, leading: tuple[int, ...] = ()) -> Any:
    """Returns arrays of NaN, with the leading axes before the axes of the shapes."""
    return jax.tree.map(
        lambda x: jnp.full((*leading, *x.shape), jnp.nan, x.dtype), shapes
    )
