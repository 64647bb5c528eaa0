"""Predicts the time and the memory of diagnostics, before anything is compiled.

A measurement takes the step once more, apart from the run, so its time is that of the
step and of its own work. Both are counted in their jaxprs, so the prediction is the
same in every process. A prediction traces and computes nothing. With sharpness and
layer_norms it took 0.4 s for the tutorial MLP and 4 s for a Transformer of 3 layers,
most of it tracing.
"""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.errors import Refusal
from gradjax.training import diagnostic_values, intervals, loop, measuring
from gradjax.training import step as steps
from gradjax.trials import cost, memory
from gradjax.trials.operations import size_bytes
from gradjax.trials.work import seconds, work
from gradjax.trials.working_set import peak_bytes
from gradjax.types import Plan, Program


class Price(NamedTuple):
    """What a diagnostic costs.

    Attributes:
      name: of the diagnostic.
      share: the time that it adds to a run alone, divided by that of the steps.
      memory_bytes: what a trial keeps from one measurement to the next.
      working_bytes: what the measurement of a call needs besides, about; a call
        measures all its lanes at once.
      bound: "about" if the lengths of its loops are fixed; "at most" if a search may
        end earlier; "at least" if a loop does not say how often it runs.
    """

    name: str
    share: float
    memory_bytes: int
    working_bytes: int
    bound: str


class Overhead(NamedTuple):
    """What the diagnostics of a program cost.

    Attributes:
      prices: of each diagnostic.
      share: the time that they add together, divided by that of the steps.
    """

    prices: tuple[Price, ...]
    share: float


class _Step(NamedTuple):
    """A step of one call of the lanes, as shapes."""

    state: Any
    memories: tuple[Any, ...]
    hparams: Any
    seed: Any


def overhead(program: Program, width: int = 1) -> Overhead:
    """Predicts the time that diagnostics add to the steps of a run, and their memory.

    Args:
      program: from `gradjax.program`.
      width: the number of trials that are mapped together.
    """
    key = ("overhead", width, cast(Any, jax.config).jax_enable_x64)
    if key not in program.executables:
        program.executables[key] = _overhead(program, width)
    return program.executables[key]


def memory_bytes(program: Program) -> int:
    """Returns the bytes that the diagnostics of a trial keep between measurements."""
    if not program.plan.diagnostics:
        return 0
    return sum(map(_bytes, _step(program, 1).memories))


def call_bytes(program: Program, width: int) -> int:
    """Returns about the bytes that a call of the lanes takes, before it is compiled.

    These are the data, the states of all lanes, what their diagnostics keep, and what a
    step or a measurement works in. A compiler may need somewhat less or more.

    Args:
      program: from `gradjax.program`.
      width: the number of trials that are mapped together.
    """
    key = ("call_bytes", width, cast(Any, jax.config).jax_enable_x64)
    if key not in program.executables:
        of = _step(program, width)
        work_bytes = peak_bytes(_traced(program, of, width, None))
        measured = [one.working_bytes for one in overhead(program, width).prices]
        total = cost.data_bytes(program) + _bytes(of)
        program.executables[key] = total + max([work_bytes, *measured])
    return program.executables[key]


def check_memory(program: Program, width: int, device: Any) -> None:
    """Refuses diagnostics that need more memory than the device has.

    Raises:
        Refusal: with the bytes, of one trial or of the trials that are mapped together.
    """
    if not program.plan.diagnostics:
        return
    available = memory.available_bytes(device)
    if available is None:
        return
    for one in overhead(program, width).prices:
        needed = width * one.memory_bytes + one.working_bytes
        if needed > available:
            kept = width * one.memory_bytes
            what = "it" if width == 1 else f"a call of {width} lanes"
            hint = "" if width == 1 else ", or fewer lanes with --lane_width"
            raise Refusal(
                f"diagnostic {one.name}: {what} needs about {needed:,} bytes of memory"
                f" ({kept:,} kept, {one.working_bytes:,} while it measures), and"
                f" {available:,} are free: ask for fewer products, vectors or"
                f" examples{hint}"
            )


def _overhead(program: Program, width: int) -> Overhead:
    plan = program.plan
    if not plan.diagnostics:
        return Overhead((), 0.0)
    of, every = _step(program, width), range(len(plan.diagnostics))
    steps_s = plan.num_steps * seconds(work(_traced(program, of, width, None)))
    prices = []
    for k in every:
        jaxpr = _traced(program, of, width, (k,))
        own, count = work(jaxpr), len(_due(plan, k))
        memories = _bytes(of.memories[k]) // width
        prices.append(
            Price(
                plan.diagnostics[k].name,
                count * seconds(own) / steps_s,
                memories,
                peak_bytes(jaxpr),
                own.bound or "about",
            )
        )
    return Overhead(tuple(prices), _together(program, of, width, prices, steps_s))


def _together(
    program: Program, of: _Step, width: int, prices: list[Price], steps_s: float
) -> float:
    """Returns the part of the time of the steps that all diagnostics add.

    Those of one interval share their step and all that is equal in them; the others
    share the step alone.
    """
    plan, every = program.plan, range(len(prices))
    due = [_due(plan, k) for k in every]
    total = sum(one.share for one in prices)
    if len(prices) == 1:
        return total
    if len({(one.every, one.window) for one in plan.diagnostics}) > 1:
        num_turns = len(np.unique(np.concatenate(due)))
        num_shared = sum(map(len, due)) - num_turns
        return total - num_shared / plan.num_steps
    own_s = seconds(work(_traced(program, of, width, tuple(every))))
    return len(due[0]) * own_s / steps_s


def _due(plan: Plan, k: int) -> np.ndarray:
    """Returns the steps of the run at which diagnostic `k` is measured."""
    return intervals.due_steps(plan.diagnostics[k], 0, plan.num_steps)


def _step(program: Program, width: int) -> _Step:
    """Returns the arguments of a step as shapes, with an axis of lanes if there are."""
    plan = program.plan
    own = measuring.shaped_inputs(plan, program.hparams)

    def made(hparams: Any, seed: Any) -> Any:
        state = steps.init(plan, hparams, seed)
        return state, measuring.memories(plan, state, hparams, seed)

    state, memories = jax.eval_shape(made, own.hparams, own.seed)
    found = _Step(state, memories, own.hparams, own.seed)
    if width == 1:
        return found
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((width, *x.shape), x.dtype), found
    )


def _traced(
    program: Program, of: _Step, width: int, chosen: tuple[int, ...] | None
) -> Any:
    """Returns the jaxpr of a step, or of the measurement of some diagnostics."""
    plan = program.plan
    arrays = measuring.shaped_inputs(plan, program.hparams).arrays

    def function(own: _Step, i: jax.Array, indices: Any, arrays: Any) -> Any:
        given = loop.inputs(plan, own.hparams, own.seed, arrays.get("train"))
        inputs = given(i, indices)
        after, info, parts = steps.step_with_parts(plan, own.state, *inputs, i)
        if chosen is None:
            return after, info
        states = own.state, after
        context = diagnostic_values.context(plan, states, inputs, parts, i)
        return [
            diagnostic_values.measure(plan, k, context, arrays, own.memories[k])
            for k in chosen
        ]

    indices = None
    if plan.problem.data is not None:
        indices = jax.ShapeDtypeStruct((width, plan.batch_size), jnp.uint32)
    if width > 1:
        axes = (0, None, None if indices is None else 0, None)
        function = jax.vmap(function, axes)
    elif indices is not None:
        indices = jax.ShapeDtypeStruct(indices.shape[1:], indices.dtype)
    step = jax.ShapeDtypeStruct((), jnp.uint32)
    return jax.make_jaxpr(function)(of, step, indices, arrays)


def _bytes(tree: Any) -> int:
    return sum(map(size_bytes, jax.tree.leaves(tree)))
