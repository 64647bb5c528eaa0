"""Lanes: trials that are mapped together in one compiled program, on each device.

A lane holds one trial with its own hyperparameters and its own seed; all lanes share
the data. One call computes `width` lanes, and several calls run at the same time: one
on each core of a CPU, or on each accelerator. A width of 1 uses no vmap. At a given
width a trial has the same bits in every lane, beside any other trials, on any number of
devices and in segments of any length. So the width is part of the plan, and the number
of devices is not.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from gradjax.counts import as_whole
from gradjax.data import streaming
from gradjax.errors import Refusal
from gradjax.training import compilation, diagnostic_values, segment
from gradjax.training.blocks import num_blocks
from gradjax.training.numbers import checked_hparams, checked_seed
from gradjax.training.segment import Form, TrialInputs
from gradjax.trials import (
    cores,
    cost,
    decompositions,
    memory,
    on_mesh,
    overhead,
    staging,
)
from gradjax.types import Hparams, Plan, Program

_MAX_SEGMENT_STEPS = 20_000  # because the device holds the report of a segment
_MIN_SEGMENTS = 4  # of a run, so that diverged trials leave their lanes early
_SEGMENT_S = 1.0  # about; progress is shown and results are committed this often
Call = Callable[..., Any]
# (state or None, own, first block, blocks, is_final, and what else `segment.inputs`
# takes) -> (state, report), all on the host and with a leading axis of lanes; with None
# the trials start. A streamed program reads the examples of the blocks in the call


class Ready(NamedTuple):
    """The compiled program of some lanes."""

    calls: tuple[Call, ...]  # can run at the same time; on a CPU one for each core
    compile_s: float  # with the time for tracing
    bytes: int  # of memory that one call takes on its device while it runs
    in_flight: int  # the number of calls for which there is memory at the same time


class Lanes(NamedTuple):
    """A program for `width` trials at once, on each of several devices."""

    program: Program
    width: int
    form: Form
    shapes: Any  # (state, report) of a segment, as shapes [width, ...]
    devices: tuple[Any, ...]  # of each call; all cores of a CPU are one device
    ready: Callable[[], Ready]  # compiles when it is called for the first time
    stage: staging.Stage | None = None  # reads the examples of a streamed program


def lanes(
    program: Program,
    width: int = 1,
    num_devices: int | None = None,
    with_train: bool = False,
) -> Lanes:
    """Prepares a program for many trials; it is compiled when it is first needed.

    The same arguments return the same Lanes, so the program is compiled once.

    Args:
      program: from `gradjax.program`.
      width: the number of trials that are mapped together on one device.
      num_devices: the number of devices, on a CPU of cores; None: all.
      with_train: evaluate the train split at the end of a run, although there is a
        validation split. For a run of one epoch this takes a fifth of its time.

    Raises:
        Refusal: a width or a number of devices that is not positive, more devices than
            there are, or one of them other than 1 beside a mesh. `ready` refuses lanes
            that do not fit into memory.
    """
    available = cores.num_devices()
    width = _count("lane_width", width, 2**20)
    used = available
    if num_devices is not None:
        used = _count("num_devices", num_devices, available)
    own, config = cores.devices(used), cast(Any, jax.config)
    if program.plan.mesh is not None:
        own = on_mesh.devices(program.plan.mesh, width, num_devices)
    is_started = program.start is None, (program.start or (0, None))[1] is None
    kind = (config.jax_enable_x64, config.jax_disable_jit, is_started)
    key = (width, own, with_train, kind)
    if key not in program.executables:
        program.executables[key] = _lanes(program, width, own, with_train)
    return program.executables[key]._replace(program=program)


def _count(name: str, value: Any, most: int) -> int:
    count = as_whole(value)
    if count is None or not 1 <= count <= most:
        raise Refusal(f"{name}={value!r}: must be a whole number from 1 to {most}")
    return count


@contextlib.contextmanager
def reading(lanes: Lanes) -> Iterator[None]:
    """A context at whose end the reading of streamed examples ends, too."""
    try:
        yield
    finally:
        if lanes.stage is not None:
            lanes.stage.close()


def num_calls(lanes: Lanes, num_trials: int) -> int:
    """Returns the number of calls for a segment; the last may have spare lanes."""
    return -(-num_trials // lanes.width)


def estimated_seconds(lanes: Lanes, num_trials: int) -> float:
    """Estimates the seconds for all trials from one timed block; none ends early."""
    ready, program = lanes.ready(), lanes.program
    filled = [program.hparams] * lanes.width
    own = stack(program, filled, list(range(lanes.width)))
    with reading(lanes):
        started = time.perf_counter()
        ready.calls[0](None, own, 0, 1, False)
        took = time.perf_counter() - started
    turns = -(-num_calls(lanes, num_trials) // ready.in_flight)
    return took * turns * num_blocks(program.plan)


def stack(program: Program, hparams: list[Hparams], seeds: list[int]) -> TrialInputs:
    """Checks the inputs of trials and stacks them along a leading axis of trials.

    Raises:
        Refusal: what `checked_hparams` and `checked_seed` refuse.
    """
    checked = [checked_hparams(program, one) for one in hparams]
    numbers = {
        path: np.stack([one[path] for one in checked]) for path in program.hparams
    }
    start = jax.tree.map(
        lambda x: np.broadcast_to(x, (len(seeds), *np.shape(x))), program.start
    )
    checked_seeds = np.asarray([checked_seed(seed) for seed in seeds])
    return TrialInputs(numbers, checked_seeds, start)


def _lanes(
    program: Program, width: int, devices: tuple[Any, ...], with_train: bool
) -> Lanes:
    started, arrays = time.perf_counter(), _arrays(program)
    is_streamed = streaming.is_streamed(program.plan.problem)
    capacity = min(_capacity(program), staging.capacity(program, width))
    form = Form(capacity, _final_splits(arrays, with_train, is_streamed))
    if is_streamed:
        arrays["train"] = staging.shapes(program, capacity, width)
    arrays |= diagnostic_values.subsets(program.plan)
    own = stack(program, [program.hparams] * width, [0] * width)
    in_turn = width > 1 and decompositions.name_of(program) is not None
    init = _map(functools.partial(segment.init, program.plan), width, 0, in_turn)
    run = functools.partial(segment.segment, program.plan, form)
    run = _map(run, width, 2, in_turn)
    which = segment.inputs(program.plan, 0, 0, False)
    state = jax.eval_shape(init, own)
    arguments = (state, own._replace(start=None), which, arrays)
    shapes = jax.eval_shape(run, *arguments)
    traced_s = time.perf_counter() - started
    data = arrays if not is_streamed else arrays | {"train": None}
    stage = staging.Stage(program, capacity, width) if is_streamed else None
    parts = init, own, run, arguments

    def ready() -> Ready:
        overhead.check_memory(program, width, devices[0])
        given, plan = (data, stage), program.plan
        if plan.mesh is not None:
            return Ready(*on_mesh.ready((plan, shapes), parts, given, traced_s), 1)
        return _ready(plan, parts, given, devices, traced_s)

    ready = functools.cache(ready)
    return Lanes(program, width, form, shapes, devices, ready, stage)


def _ready(
    plan: Plan,
    parts: tuple[Call, TrialInputs, Call, tuple[Any, ...]],
    given: tuple[dict[str, Any], staging.Stage | None],
    devices: tuple[Any, ...],
    traced_s: float,
) -> Ready:
    """Compiles both programs for each device and copies the data to it.

    `parts` are the program that starts trials with its argument, and that of a segment
    with its arguments; `given` are the arrays, and what reads those of a stream.
    """
    begun = time.perf_counter() - traced_s
    (init, own, run, arguments), (arrays, stage) = parts, given
    options, quick = compilation.options_of(plan), compilation.quick_options()
    # A debugger works in the main thread, which makes the only call.
    devices = devices[:1] if compilation.is_eager() else devices
    inits, runs, data = {}, {}, {}
    for device in dict.fromkeys(devices):
        inits[device] = compilation.compile_for(init, (own,), device, options=quick)
        runs[device] = compilation.compile_for(run, arguments, device, (0,), options)
        data[device] = jax.device_put(arrays, device)
    memory.release_freed()
    call_bytes = memory.needed_bytes(runs[devices[0]])
    in_flight = memory.in_flight(call_bytes, devices)
    calls = tuple(
        _call(plan, (inits[device], runs[device]), (data[device], stage), device)
        for device in devices
    )
    return Ready(calls, time.perf_counter() - begun, call_bytes, in_flight)


def _call(plan: Plan, made: tuple[Call, Call], data: Any, device: Any) -> Call:
    """Returns a function from host to host that runs a segment on one device.

    `made` are the compiled programs that start trials and run a segment; `data` are the
    arrays on the device, and what reads those of a streamed split.
    """
    (init, run), (arrays, stage) = made, data

    def call(state: Any, own: TrialInputs, first: int, count: int, *part: Any) -> Any:
        own, given = jax.device_put(own, device), arrays
        if stage is not None:
            given = arrays | {
                "train": jax.device_put(stage(own.seed, first, count), device)
            }
        state = init(own) if state is None else jax.device_put(state, device)
        own = own._replace(start=None)
        which = segment.inputs(plan, first, count, *part)
        # NaN fills what is not computed in a report, and would be a false alarm.
        with jax.debug_nans(False):
            return jax.device_get(run(state, own, jax.device_put(which, device), given))

    return call


def _map(function: Call, width: int, num_shared: int, in_turn: bool) -> Call:
    """Maps a function over lanes, which share its last `num_shared` arguments.

    Lanes whose decompositions must not be mapped are computed in turn.
    """

    def over_lanes(*args: Any) -> Any:
        num_own = len(args) - num_shared
        if in_turn:
            own, shared = args[:num_own], args[num_own:]
            return jax.lax.map(lambda one: function(*one, *shared), own)
        if width > 1:
            axes = (0,) * num_own + (None,) * num_shared
            return jax.vmap(function, axes)(*args)
        own = jax.tree.map(lambda x: x[0], args[:num_own])
        return jax.tree.map(lambda x: x[None], function(*own, *args[num_own:]))

    return over_lanes


def _capacity(program: Program) -> int:
    """Returns the largest number of blocks of a segment.

    It takes about a second, and at most a quarter of the run.
    """
    plan = program.plan
    most_steps = min(_MAX_SEGMENT_STEPS, _SEGMENT_S / cost.step_seconds(program))
    most = max(1, round(most_steps / plan.block_steps))
    return min(most, -(-num_blocks(plan) // _MIN_SEGMENTS))


def _final_splits(
    arrays: dict[str, Any], with_train: bool, is_streamed: bool
) -> tuple[str, ...]:
    """Returns the splits that are evaluated only at the end of a run.

    Without a validation split the train split ranks the trials. A streamed train split
    is not evaluated.
    """
    is_measured = (with_train or "validation" not in arrays) and not is_streamed
    names = [name for name in arrays if name != "train" or is_measured]
    return tuple(name for name in names if name != "validation")


def _arrays(program: Program) -> dict[str, Any]:
    """Returns split -> the arrays of its source; {"train": None} without data."""
    data = program.plan.problem.data
    if data is None:
        return {"train": None}
    parts = zip(data._fields, data, strict=True)
    return {name: source.arrays for name, source in parts if source is not None}
