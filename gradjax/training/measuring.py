"""Measures diagnostics between the steps of a block, inside the compiled loop.

A measurement stands between two steps. It reads the states before and after the last
step and the gradient of that step, and leaves the state of the run as it is. One loop
takes all steps: up to the next one that is due, and then that one alone. It carries the
gradient in every program, also in one without diagnostics. So the compiler fuses the
operations of a step in the same way everywhere, and the steps of a run have the bits of
a run without diagnostics; docs/architecture.md has the designs that changed them. A
measurement costs its own work and a copy of what it reads of the state before the step,
which `trials.overhead` predicts. The number of the step is not batched, so a condition
on it remains a branch under vmap.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.diagnostics import context as contexts
from gradjax.diagnostics.context import Context
from gradjax.errors import Refusal
from gradjax.own_code import named_errors
from gradjax.training import diagnostic_values, intervals, loop, stacked_curves
from gradjax.training import step as steps
from gradjax.training.stacked_curves import Stacked
from gradjax.types import (
    Hparams,
    Params,
    Plan,
    StepInfo,
    TrainState,
)

Values = tuple[dict[str, jax.Array], ...]  # of each diagnostic: curve -> f32[...]
# What the loop over the steps carries: the state, the reports of the block
# f32[block_steps], and the gradient of the last step.
Carry = tuple[TrainState, StepInfo, Params]
PlainSteps = Callable[[Carry, Any, Any], Carry]  # (carry, first step, end) -> carry


class Measured(NamedTuple):
    """What the loop over the steps carries for the diagnostics."""

    memories: tuple[Any, ...]  # a pytree for each diagnostic; () without memory
    values: tuple[Stacked, ...]  # f32[slots, curves], NaN where nothing is measured


class Inputs(NamedTuple):
    """What the measurements of a trial need beside its state."""

    hparams: Hparams
    seed: jax.Array
    arrays: dict[str, Any]  # split -> the arrays of its source


def memories(plan: Plan, state: TrainState, hparams: Hparams, seed: Any) -> Any:
    """Returns the memory of each diagnostic before the first step."""
    key = jax.random.fold_in(jax.random.key(seed), diagnostic_values.KEY)
    found = []
    for k, one in enumerate(plan.diagnostics):
        known = {
            "params": state.params,
            "opt_state": state.opt_state,
            "hparams": hparams,
            "key": jax.random.fold_in(key, k),
            "problem": plan.problem,
            "plan": plan,
            **dict(one.options),
        }
        with named_errors(f"diagnostic {one.name}: its init fails"):
            made = () if one.init is None else contexts.bound(one.init, known)
        found.append(jax.tree.map(jnp.asarray, made))
    return tuple(found)


def shapes(plan: Plan, state: TrainState, own: Inputs) -> Any:
    """Returns the shapes of the values of one step, of each diagnostic."""
    if not plan.diagnostics:
        return ()
    return jax.eval_shape(partial(first_step, plan), state, own)[1]


def buffers(plan: Plan, shapes: Any, num_steps: int) -> tuple[Stacked, ...]:
    """Returns room for the values of so many successive steps: f32[slots, curves]."""
    return tuple(
        stacked_curves.nan(curves, intervals.num_slots(one, num_steps))
        for one, curves in zip(plan.diagnostics, shapes, strict=True)
    )


class BlockSteps(NamedTuple):
    """The steps of a block."""

    indices: Any  # u32[block_steps, batch], or None for a problem without data
    start: jax.Array  # u32[], the first step
    count: jax.Array  # i32[], the number of steps
    first: jax.Array  # u32[], the first step of the segment
    every: jax.Array  # u32[diagnostics], steps between measurements; 0: there are none


def block(
    plan: Plan,
    plain: PlainSteps,
    carry: tuple[Carry, Measured],
    own: Inputs,
    which: BlockSteps,
) -> tuple[Carry, Measured]:
    """Takes the steps of a block and measures at those that are due.

    Args:
      plan: the static part of the run.
      plain: takes steps of the run.
      carry: what the steps carry, and what is measured.
      own: the hyperparameters, the seed and the data.
      which: the steps of the block.

    Returns:
      The carry after the block.
    """
    indices, start, count, first, every = which
    given = loop.inputs(plan, own.hparams, own.seed, own.arrays.get("train"))

    def measured(states: Any, grads: Params, seen: Measured, k: Any) -> Measured:
        i = start + jnp.asarray(k, jnp.uint32)
        inputs = given(i, None if indices is None else indices[k])
        context = diagnostic_values.context(plan, states, grads, inputs, i)
        return _measure(plan, context, own.arrays, seen, (i, first, every))

    def next_due(k: jax.Array) -> jax.Array:
        """Returns the first step from `k` on that is measured, counted in the block."""
        due = intervals.next_due(plan, every, start + k.astype(jnp.uint32))
        return jnp.minimum((due - start).astype(jnp.int32), count)

    def turn(carry: Any) -> Any:
        """Takes the steps to the next one that is due, or the one that is due now."""
        k, before, taken, seen = carry
        due, after = next_due(k), k + 1
        is_due = due == k
        end = jnp.where(is_due, after, due)
        taken = plain(taken, k, end)

        def measure(states: Any, grads: Params, seen: Measured) -> Any:
            is_next = (after < count) & (next_due(after) == after)
            return measured(states, grads, seen, k), is_next

        # Both branches say whether the step at `end` is due. The copy of the state
        # waits for the answer, so XLA knows that it can take the place of the last one.
        seen, is_next = jax.lax.cond(
            is_due,
            measure,
            lambda _, __, seen: (seen, due < count),
            (before, taken[0]),
            taken[2],
            seen,
        )
        return end, _copied_if(is_next, taken[0], before), taken, seen

    _, _, taken, seen = jax.lax.while_loop(
        lambda carry: carry[0] < count, turn, (jnp.int32(0), carry[0][0], *carry)
    )
    return taken, seen


def _copied_if(is_needed: jax.Array, state: TrainState, last: TrainState) -> TrainState:
    """Returns a copy of a state if it is needed, and else the last copy.

    On a CPU a loop of one turn or of none writes the copy in the place of the last one;
    XLA would copy both ways what a branch of a `cond` passes on, and `where` writes in
    either case. A leaf has a loop of its own, so that XLA removes it if no diagnostic
    needs the leaf. On an accelerator each loop would wait for the host.
    """
    if jax.default_backend() != "cpu":
        return jax.tree.map(partial(jnp.where, is_needed), state, last)
    num_turns = is_needed.astype(jnp.int32)
    return jax.tree.map(
        lambda new, old: jax.lax.fori_loop(0, num_turns, lambda _, __: new, old),
        state,
        last,
    )


def put(k: Any) -> Callable[[Any, Any], Any]:
    """Returns a function that writes a value at index `k` of a buffer."""
    return lambda buffer, value: jax.lax.dynamic_update_index_in_dim(
        buffer, value, jnp.asarray(k, jnp.int32), 0
    )


def first_step(plan: Plan, state: TrainState, own: Inputs) -> tuple[TrainState, Values]:
    """Takes the first step, with each measurement: (state, values f32[])."""
    zero = jnp.uint32(0)
    train = own.arrays.get("train")
    indices = loop.batch_indices(plan, own.seed, zero, 1, train)
    row = None if indices is None else indices[0]
    inputs = loop.inputs(plan, own.hparams, own.seed, train)(zero, row)
    after, _, grads = steps.step_with_gradient(plan, state, *inputs, zero)
    context = diagnostic_values.context(plan, (state, after), grads, inputs, zero)
    memory = memories(plan, state, own.hparams, own.seed)
    values = tuple(
        diagnostic_values.measure(plan, k, context, own.arrays, memory[k])[0]
        for k in range(len(plan.diagnostics))
    )
    return after, values


def shaped_inputs(plan: Plan, hparams: Hparams) -> Inputs:
    """Returns the inputs of a trial as shapes, with which a step can be traced."""
    shaped: Any = jax.ShapeDtypeStruct
    numbers = {
        path: shaped(np.shape(value), jnp.result_type(float))
        for path, value in hparams.items()
    }
    parts = {} if plan.problem.data is None else plan.problem.data._asdict()
    arrays = {name: one.arrays for name, one in parts.items() if one is not None}
    arrays |= diagnostic_values.subsets(plan)
    return Inputs(numbers, shaped((), jnp.uint32), arrays)


def check(plan: Plan, hparams: Hparams, curves: list[str]) -> None:
    """Refuses a diagnostic that this problem cannot have.

    It is traced with shapes; nothing is computed.

    Args:
      plan: the static part of the run.
      hparams: the hyperparameters at their defaults.
      curves: the names of the other values of a step.

    Raises:
        Refusal: examples that there are not, a name that another curve has, or an error
            of the diagnostic.
    """
    if not plan.diagnostics:
        return

    def first(own: Inputs) -> Values:
        state = steps.init(plan, own.hparams, own.seed)
        return first_step(plan, state, own)[1]

    found = jax.eval_shape(first, shaped_inputs(plan, hparams))
    taken = {"loss", "learning_rate", *curves}
    for name in [name for own in found for name in own]:
        if name in taken or name.startswith("validation_"):
            raise Refusal(
                f"diagnostics: there are two curves {name!r}; another name is given by"
                f" {name.partition('.')[0]}(name='...')"
            )
        taken.add(name)


def _measure(
    plan: Plan,
    context: Context,
    arrays: dict[str, Any],
    seen: Measured,
    of_step: tuple[jax.Array, jax.Array, jax.Array],
) -> Measured:
    """Measures each diagnostic that is due at a step.

    `of_step` are the step, the first one of the segment, and the intervals.
    """
    (i, first, every), are_equal = of_step, intervals.are_equal(plan)
    found, kept = list(seen.values), list(seen.memories)
    for k, one in enumerate(plan.diagnostics):
        begin = jnp.uint32(intervals.window(plan, one)[0])
        is_due = intervals.next_of(plan, one, every[k], i) == i
        slot = intervals.num_before(i, every[k], begin)
        slot -= intervals.num_before(first, every[k], begin)

        def measured(values: Any, memory: Any, k: int = k, slot: Any = slot) -> Any:
            new, memory = diagnostic_values.measure(plan, k, context, arrays, memory)
            new = stacked_curves.stack(new)
            return jax.tree.map(put(slot), values, new), memory

        if are_equal:  # each of them is due in every step that is measured
            found[k], kept[k] = measured(found[k], kept[k])
            continue
        found[k], kept[k] = jax.lax.cond(
            is_due,
            measured,
            lambda values, memory: (values, memory),
            found[k],
            kept[k],
        )
    return Measured(tuple(kept), tuple(found))
