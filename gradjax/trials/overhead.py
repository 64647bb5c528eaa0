"""Predicts the time and the memory of diagnostics, before anything is compiled.

A measurement reads the states before and after a step and the gradient of the step. Its
time is that of its own work and of a copy of what it reads of the state before. The
work is counted in jaxprs, so the prediction is the same in every process. A prediction
traces and computes nothing. With sharpness and layer_norms it took 0.1 s for the
tutorial MLP and 1.3 s for a Transformer of 3 layers, most of it tracing.
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
from gradjax.trials.work import copying, seconds, work
from gradjax.trials.working_set import needed_inputs, peak_bytes
from gradjax.types import Diagnostic, Plan, Program


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
      is_timed: whether the shares are timed; else they are counted.
    """

    prices: tuple[Price, ...]
    share: float
    is_timed: bool = False


class _Step(NamedTuple):
    """A step of one call of the lanes, as shapes."""

    state: Any
    after: Any  # the state after it
    grads: Any
    memories: tuple[Any, ...]
    hparams: Any
    seed: Any


class _Measured(NamedTuple):
    """The measurement of some diagnostics at one step."""

    seconds: float
    working_bytes: int
    bound: str
    needs: tuple[bool, ...]  # whether it needs each leaf of the state before


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

    These are the data, the states and gradients of all lanes, what their diagnostics
    keep, and what a step or a measurement works in. A compiler may need somewhat less
    or more.

    Args:
      program: from `gradjax.program`.
      width: the number of trials that are mapped together.
    """
    key = ("call_bytes", width, cast(Any, jax.config).jax_enable_x64)
    if key not in program.executables:
        of, prices = _step(program, width), overhead(program, width).prices
        step_bytes = peak_bytes(_traced_step(program, of, width))
        # The new gradient of a step is written in the place of the last one.
        most = max([step_bytes, *(_bytes(of.grads) + x.working_bytes for x in prices)])
        kept = _bytes((of.state, of.memories))
        program.executables[key] = cost.data_bytes(program) + kept + most
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
    of = _step(program, width)
    steps_s = plan.num_steps * step_seconds(program, width)
    alone = [_measured(program, of, width, (k,)) for k in range(len(plan.diagnostics))]
    prices = []
    for k, (one, found) in enumerate(zip(plan.diagnostics, alone, strict=True)):
        price = Price(
            one.name,
            len(due_steps(plan, one)) * (found.seconds + _copy_s(of, found)) / steps_s,
            _bytes(of.memories[k]) // width,
            found.working_bytes + _bytes(_copied(of, found)),
            found.bound,
        )
        prices.append(price)
    if len(alone) == 1:
        return Overhead(tuple(prices), prices[0].share)
    together_s = _together_s(program, of, width, alone)
    return Overhead(tuple(prices), together_s / steps_s)


def _measured(
    program: Program, of: _Step, width: int, chosen: tuple[int, ...]
) -> _Measured:
    jaxpr = _traced_measurement(program, of, width, chosen)
    own, num_leaves = work(jaxpr), len(jax.tree.leaves(of.state))
    needs = tuple(needed_inputs(jaxpr)[:num_leaves])  # the state before comes first
    return _Measured(seconds(own), peak_bytes(jaxpr), own.bound or "about", needs)


def _copied(of: _Step, *found: _Measured) -> list[Any]:
    """Returns the leaves of the state that a measurement needs a copy of."""
    needs = np.any([one.needs for one in found], axis=0)
    leaves = zip(jax.tree.leaves(of.state), needs, strict=True)
    return [leaf for leaf, is_needed in leaves if is_needed]


def _copy_s(of: _Step, *found: _Measured) -> float:
    return seconds(copying(_copied(of, *found)))


def _together_s(
    program: Program, of: _Step, width: int, alone: list[_Measured]
) -> float:
    """Returns the seconds that all diagnostics add to a run.

    Those of one interval share all that is equal in them; the others share a copy of
    the state where they are due at the same step.
    """
    plan, every = program.plan, range(len(alone))
    due = [due_steps(plan, one) for one in plan.diagnostics]
    num_turns = len(np.unique(np.concatenate(due)))
    copies_s = num_turns * _copy_s(of, *alone)
    if len({(one.every, one.window) for one in plan.diagnostics}) == 1:
        joint = _measured(program, of, width, tuple(every))
        return num_turns * joint.seconds + copies_s
    own_s = [len(due[k]) * alone[k].seconds for k in every]
    return sum(own_s) + copies_s


def due_steps(plan: Plan, one: Diagnostic) -> np.ndarray:
    """Returns the steps of the run at which a diagnostic is measured."""
    return intervals.due_steps(one, 0, plan.num_steps)


def step_seconds(program: Program, width: int = 1) -> float:
    """Returns about the seconds of a step of all lanes, counted as the diagnostics."""
    of = _step(program, width)
    return seconds(work(_traced_step(program, of, width)))


def _step(program: Program, width: int) -> _Step:
    """Returns the arguments of a step as shapes, with an axis of lanes if there are."""
    plan = program.plan
    own = measuring.shaped_inputs(plan, program.hparams)

    def made(hparams: Any, seed: Any) -> Any:
        state = steps.init(plan, hparams, seed)
        _, grads = loop.shapes(plan, state, hparams, own.arrays.get("train"))
        grads = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), grads)
        return state, grads, measuring.memories(plan, state, hparams, seed)

    state, grads, memories = jax.eval_shape(made, own.hparams, own.seed)
    found = _Step(state, state, grads, memories, own.hparams, own.seed)
    if width == 1:
        return found
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((width, *x.shape), x.dtype), found
    )


def _traced_step(program: Program, of: _Step, width: int) -> Any:
    """Returns the jaxpr of a step."""
    plan = program.plan

    def function(own: _Step, i: jax.Array, indices: Any, arrays: Any) -> Any:
        given = loop.inputs(plan, own.hparams, own.seed, arrays.get("train"))
        return steps.step_with_gradient(plan, own.state, *given(i, indices), i)

    return _traced(program, of, width, function)


def _traced_measurement(
    program: Program, of: _Step, width: int, chosen: tuple[int, ...]
) -> Any:
    """Returns the jaxpr of a measurement of some diagnostics."""
    plan = program.plan

    def function(own: _Step, i: jax.Array, indices: Any, arrays: Any) -> Any:
        given = loop.inputs(plan, own.hparams, own.seed, arrays.get("train"))
        states = own.state, own.after
        of_step = states, own.grads, given(i, indices), i
        context = diagnostic_values.context(plan, *of_step)
        return [
            diagnostic_values.measure(plan, k, context, arrays, own.memories[k])
            for k in chosen
        ]

    return _traced(program, of, width, function)


def _traced(program: Program, of: _Step, width: int, function: Any) -> Any:
    """Returns the jaxpr of a function (step, i, indices, arrays), over the lanes."""
    plan = program.plan
    arrays = measuring.shaped_inputs(plan, program.hparams).arrays
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
