"""The results of running trials on the host: allocated once, recorded by segment."""

from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from gradjax import optimizers
from gradjax.training.blocks import num_blocks
from gradjax.training.intervals import due_steps
from gradjax.training.segment import SegmentReport, TrialState
from gradjax.training.traces import window_ends, window_means, window_starts
from gradjax.types import Plan

BlockRange = tuple[int, int]  # (first block, number of blocks) of a segment


class Results(NamedTuple):
    """Arrays with a leading axis of trials, written in place."""

    plan: Plan
    every: int  # steps per point of the trace
    state: TrialState  # a pytree, [trials, ...]
    params: Any  # the kept parameters; None if they are those of the state
    trace: dict[str, np.ndarray]  # f32[trials, points]
    validation: dict[str, np.ndarray]  # f32[trials, blocks], NaN where none was due
    final: dict[str, dict[str, np.ndarray]]  # split -> metric -> f32[trials]
    num_gradients: np.ndarray  # i64[trials], gradients computed so far
    diverged_step: np.ndarray  # i64[trials], the step of divergence, or 0
    early_step: np.ndarray  # i64[trials], the step at which patience ended it, or 0
    stopped_step: np.ndarray  # i64[trials], the step at which halving ended it, or 0
    kept_step: np.ndarray  # i64[trials], the step of the kept parameters so far
    is_set_aside: np.ndarray  # bool[trials], it ended the process and has no result
    has_learned: np.ndarray  # bool[trials], a gradient has changed a parameter so far
    model_state: Any = None  # of the network, kept with `params`; None likewise
    measured: tuple[dict[str, np.ndarray], ...] = ()
    # of each diagnostic: curve -> f32[trials, its measurements], NaN where not measured


COUNTS = ("num_gradients", "diverged_step", "early_step", "kept_step")
FLAGS = ("is_set_aside", "has_learned")


def allocate(
    plan: Plan, shapes: tuple[Any, SegmentReport], every: int, num_trials: int
) -> Results:
    """Allocates the results of trials of which nothing has been computed.

    Args:
      plan: the static part of the run.
      shapes: of the state and the report of a segment, [width, ...].
      every: steps per point of the trace.
      num_trials: the number of rows.
    """
    state, report = shapes

    def nan(shapes: Any, *length: int) -> Any:
        return jax.tree.map(
            lambda x: np.full((num_trials, *length), np.nan, _host_type(x)), shapes
        )

    def zeros(shapes: Any) -> Any:
        return jax.tree.map(
            lambda x: np.zeros((num_trials, *x.shape[1:]), x.dtype), shapes
        )

    num_points = len(window_starts(plan, every, 0, num_blocks(plan)))
    counts = [np.zeros(num_trials, np.int64) for _ in range(5)]
    return Results(
        plan,
        every,
        zeros(state),
        zeros(report.params),
        nan(_curves(report), num_points),
        nan(report.validation, num_blocks(plan)),
        nan(report.final),
        *counts,
        is_set_aside=np.zeros(num_trials, bool),
        has_learned=np.zeros(num_trials, bool),
        model_state=zeros(report.model_state),
        measured=tuple(
            nan(curves, len(due_steps(one, 0, plan.num_steps)))
            for one, curves in zip(plan.diagnostics, report.measured, strict=True)
        ),
    )


def record(
    results: Results,
    rows: np.ndarray,
    blocks: BlockRange,
    state: TrialState,
    report: SegmentReport,
) -> None:
    """Records what a call of the lanes returned.

    Args:
      results: is changed in place.
      rows: i64[width], the trials in the lanes. Spare lanes repeat the last trial and
        hold the same values.
      blocks: (first block, number of blocks) of the segment.
      state: the states after the segment, [width, ...].
      report: the report of the segment, [width, ...].
    """
    plan, (first, count) = results.plan, blocks
    start = first * plan.block_steps
    num_steps = min(count * plan.block_steps, plan.num_steps - start)

    def put(old: np.ndarray, new: np.ndarray) -> None:
        old[rows] = new

    if first and count and not results.has_learned[rows].all():
        before = jax.tree.map(lambda x: x[rows], results.state)
        results.has_learned[rows] |= _learns(before, state)
    kept = (report.params, report.model_state)
    jax.tree.map(
        put, (results.state, results.params, results.model_state), (state, *kept)
    )
    jax.tree.map(put, results.final, report.final)
    if not count:  # an evaluation alone
        return
    flat = {
        name: values.reshape(len(rows), -1)[:, :num_steps]
        for name, values in _curves(report).items()
    }
    starts = window_starts(plan, results.every, first, count)
    ends = window_ends(plan, results.every, first, count)
    points = points_of(results, blocks)
    for name, values in flat.items():
        results.trace[name][rows, points] = window_means(values, starts, ends)
    for name, values in report.validation.items():
        results.validation[name][rows, first : first + count] = values[:, :count]
    for k, curves in enumerate(report.measured):
        slots = slots_of(results, k, blocks)
        for name, values in curves.items():
            results.measured[k][name][rows, slots] = values[:, : _length(slots)]
    early = _early_steps(state)
    early = _first(early, _limit_steps(plan, flat, start))
    is_bad = ~np.isfinite(flat["loss"]) & (flat.get("tolerated", 0.0) != 1.0)
    if plan.max_gradients is not None:  # steps after the limit change nothing
        is_bad &= flat["num_gradients"] != 0.0
    is_diverged = is_bad.any(axis=1)
    taken = np.where(is_diverged, is_bad.argmax(axis=1) + 1, num_steps)
    is_early = (early > 0) & (early <= start + taken)  # before it could diverge
    taken = np.where(is_early, early - start, taken)
    results.early_step[rows] = np.where(is_early, early, 0)
    results.diverged_step[rows] = np.where(is_diverged & ~is_early, start + taken, 0)
    results.num_gradients[rows] += _num_gradients(plan, flat, taken)
    kept: Any = state.kept
    last = np.where(early > 0, early, start + num_steps)
    results.kept_step[rows] = np.minimum(kept.step, last) if kept else start + taken


def record_learning(results: Results, rows: np.ndarray, start: TrialState) -> None:
    """Records whether trials have learned, from the states before their first step."""
    now = jax.tree.map(lambda x: x[rows], results.state)
    results.has_learned[rows] |= _learns(start, now)


def has_ended(results: Results) -> np.ndarray:
    """Returns which trials have diverged, stopped or been set aside: bool[trials]."""
    steps = (results.diverged_step, results.early_step, results.stopped_step)
    return results.is_set_aside | (np.stack(steps) > 0).any(axis=0)


def steps_taken(plan: Plan) -> np.ndarray:
    """Returns the number of steps taken at the end of each block: i64[blocks]."""
    ends = np.arange(1, num_blocks(plan) + 1) * plan.block_steps
    return np.minimum(ends, plan.num_steps)


def measured_steps(plan: Plan, k: int) -> np.ndarray:
    """Returns the steps at which diagnostic `k` is measured, from 1, as of the loss."""
    return due_steps(plan.diagnostics[k], 0, plan.num_steps) + 1


def slots_of(results: Results, k: int, blocks: BlockRange) -> slice:
    """Returns the measurements of diagnostic `k` that belong to a segment."""
    plan, (first, count) = results.plan, blocks
    start = first * plan.block_steps
    stop = min((first + count) * plan.block_steps, plan.num_steps)
    before = len(due_steps(plan.diagnostics[k], 0, start))
    return slice(before, before + len(due_steps(plan.diagnostics[k], start, stop)))


def _length(part: slice) -> int:
    return part.stop - part.start


def points_of(results: Results, blocks: BlockRange) -> slice:
    """Returns the points of the trace that belong to a segment."""
    plan, every, (first, count) = results.plan, results.every, blocks
    before = len(window_starts(plan, every, 0, first)) if first else 0
    return slice(before, before + len(window_starts(plan, every, first, count)))


def _curves(report: SegmentReport) -> dict[str, Any]:
    info = report.infos
    return {"loss": info.loss, "learning_rate": info.learning_rate, **info.aux}


def _host_type(x: Any) -> Any:
    """Returns the type on the host: that of the device, but at least float32."""
    return np.promote_types(x.dtype, np.float32)


def _early_steps(state: TrialState) -> np.ndarray:
    """Returns the step at which patience ended each trial, or 0: i64[width]."""
    kept: Any = state.kept
    if kept:
        return np.asarray(kept.stopped_step, np.int64)
    return np.zeros(len(state.train.alive), np.int64)


def _limit_steps(plan: Plan, flat: dict[str, np.ndarray], start: int) -> np.ndarray:
    """Returns the evaluation at which the limit of gradients ended a trial: i64[width].

    It is the first one after the last step that counts, 0 if that is not in the
    segment. Nothing changes between the two.
    """
    num_trials, num_steps = flat["loss"].shape
    if plan.max_gradients is None:
        return np.zeros(num_trials, np.int64)
    is_over = flat["num_gradients"] == 0.0
    stopped = start + np.where(is_over.any(axis=1), is_over.argmax(axis=1), num_steps)
    due = -(-stopped // plan.eval_every) * plan.eval_every
    return np.where(is_over.any(axis=1) & (due <= start + num_steps), due, 0)


def _first(*steps: np.ndarray) -> np.ndarray:
    """Returns the earlier of two steps, of which 0 is none: i64[width]."""
    one, other = (np.asarray(some, np.int64) for some in steps)
    return np.where((one > 0) & (other > 0), np.minimum(one, other), one + other)


def _num_gradients(
    plan: Plan, flat: dict[str, np.ndarray], taken: np.ndarray
) -> np.ndarray:
    """Returns the gradients computed in a segment before a trial ends: i64[rows]."""
    if "num_gradients" not in flat:
        return optimizers.num_gradients(plan.optimizer) * taken
    spent = flat["num_gradients"]
    is_before = np.arange(spent.shape[1]) < taken[:, None]
    return np.where(is_before, spent, 0).sum(axis=1).astype(np.int64)


def _learns(before: TrialState, after: TrialState) -> np.ndarray:
    """Returns which trials a gradient has changed between two states: bool[rows].

    A parameter must differ. Weight decay changes it without a gradient; then the
    moments of the optimizer remain exactly zero.
    """
    params = before.train.params, after.train.params
    differs = jax.tree.map(np.not_equal, *params)
    moments = optax.tree_utils.tree_get_all_with_path(after.train.opt_state, "mu")
    moments = jax.tree.leaves([moment for _, moment in moments])
    if len(moments) != len(jax.tree.leaves(differs)):  # not one for each parameter
        return _any(differs)
    return _any(differs) & _any(moments)


def _any(tree: Any) -> np.ndarray:
    """Returns which trials have an element that is not zero: bool[rows]."""
    leaves = [np.reshape(leaf, (len(leaf), -1)) for leaf in jax.tree.leaves(tree)]
    return np.any([(leaf != 0).any(axis=1) for leaf in leaves], axis=0)
