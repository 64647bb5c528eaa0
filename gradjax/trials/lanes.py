"""The stretch of a run over many trials, compiled, on each device: lanes.

A lane is one trial: its own numbers and its own seed, the data shared. `width` lanes
are mapped together on one device, and every device runs the same program. A width of
1 is no map at all: it has the bits of a single run. At any one width a trial has the
same bits in every lane, beside any neighbours, on any number of devices, in stretches
of any length; so the width belongs to what is asked, and the devices do not.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from gradjax.errors import Refusal
from gradjax.training import compilation, traces
from gradjax.training import step as steps
from gradjax.training.blocks import num_blocks
from gradjax.training.numbers import checked_hparams, checked_seed
from gradjax.training.segment import segment
from gradjax.trials import memory
from gradjax.types import Hparams, Program

MAX_SEGMENT_STEPS = 20_000  # what a stretch reports is kept on the device
_NUM_SEGMENTS = 4  # at least, so that the diverged leave early
Call = Callable[..., Any]  # (state or None, hparams, seeds, first, count) -> (state,
# Seen), both on the host; None is initialised


class Ready(NamedTuple):
    """What is compiled."""

    calls: tuple[Call, ...]  # one a device
    compile_s: float  # tracing included
    batch_bytes: int  # that a batch takes on its device while it runs
    in_flight: int  # batches at once that there is memory for


class Lanes(NamedTuple):
    """A program over `width` trials, on each of several devices."""

    program: Program
    width: int
    capacity: int  # blocks a stretch, at most
    every: int  # steps a point of the training curves
    shapes: Any  # (state, Seen), [width, ...]
    devices: tuple[Any, ...]
    ready: Callable[[], Ready]  # compiles at the first call


def lanes(
    program: Program,
    width: int = 1,
    num_devices: int | None = None,
    trace_every: int = 1,
) -> Lanes:
    """A program for many trials, compiled when it is first needed.

    Args:
      program: from `gradjax.program`.
      width: trials that are mapped together on one device.
      num_devices: how many devices; None: all there are.
      trace_every: steps a point of the training curves, each the mean over them; 0:
        at most 1,000 points, or one a block where there are more blocks.

    Raises:
        Refusal: a width, a number of devices or of steps that is not positive, or more
            devices than there are. `ready` refuses a batch that memory does not hold.
    """
    devices = jax.devices()
    used = len(devices) if num_devices is None else num_devices
    for name, value, least, most in (
        ("width", width, 1, 2**20),
        ("num_devices", used, 1, len(devices)),
        ("trace_every", trace_every, 0, 2**31 - 1),
    ):
        if type(value) is not int or not least <= value <= most:
            raise Refusal(
                f"{name}={value!r}: must be a whole number from {least} to {most}"
            )
    started, capacity = time.perf_counter(), _capacity(program)
    own = tuple(devices[:used])
    arguments = _arguments(program, width)
    init = _mapped(functools.partial(steps.init, program.plan), width, 0)
    stretch = functools.partial(segment, program.plan, capacity)
    stretch = _mapped(stretch, width, num_shared=3)
    shapes = jax.eval_shape(stretch, *arguments)
    traced_s = time.perf_counter() - started
    return Lanes(
        program,
        width,
        capacity,
        trace_every or traces.usual_every(program.plan),
        shapes,
        own,
        functools.cache(lambda: _ready(init, stretch, arguments, own, traced_s)),
    )


def num_batches(lanes: Lanes, num_trials: int) -> int:
    """Batches of lanes that these trials fill; the last may be filled up."""
    return -(-num_trials // lanes.width)


def estimated_seconds(lanes: Lanes, num_trials: int) -> float:
    """How long all trials will take if none diverges, from one block of one batch.

    Evaluations are in it as far as that block has one.
    """
    ready, program = lanes.ready(), lanes.program
    filled = [program.hparams] * lanes.width
    own = stacked(program, filled, list(range(lanes.width)))
    started = time.perf_counter()
    ready.calls[0](None, *own, 0, 1)
    took = time.perf_counter() - started
    turns = -(-num_batches(lanes, num_trials) // ready.in_flight)
    return took * turns * num_blocks(program.plan)


def stacked(
    program: Program, hparams: list[Hparams], seeds: list[int]
) -> tuple[Hparams, np.ndarray]:
    """Checked, and with a leading axis of trials.

    Raises:
        Refusal: what `training.checked_hparams` and `checked_seed` refuse.
    """
    checked = [checked_hparams(program, one) for one in hparams]
    numbers = {
        path: np.stack([one[path] for one in checked]) for path in program.hparams
    }
    return numbers, np.asarray([checked_seed(seed) for seed in seeds])


def _ready(
    init: Call,
    stretch: Call,
    arguments: tuple[Any, ...],
    devices: tuple[Any, ...],
    traced_s: float,
) -> Ready:
    """Both programs on every device, which then holds the data."""
    begun = time.perf_counter() - traced_s
    _, hparams, seeds, *_, arrays = arguments
    quick = compilation.quick_options()
    inits = compilation.compiled(init, (hparams, seeds), devices, options=quick)
    stretches = compilation.compiled(stretch, arguments, devices, donate_argnums=(0,))
    batch_bytes = memory.needed_bytes(stretches[0])
    in_flight = memory.in_flight(batch_bytes, devices)
    calls = tuple(
        _call(one, other, jax.device_put(arrays, there), there)
        for one, other, there in zip(inits, stretches, devices, strict=True)
    )
    return Ready(calls, time.perf_counter() - begun, batch_bytes, in_flight)


def _call(init: Call, stretch: Call, arrays: Any, there: Any) -> Call:
    """From host to host on one device."""

    def call(state: Any, hparams: Any, seeds: Any, first: int, count: int) -> Any:
        own = jax.device_put((hparams, seeds), there)
        state = init(*own) if state is None else jax.device_put(state, there)
        which = jax.device_put((np.uint32(first), np.uint32(count)), there)
        return jax.device_get(stretch(state, *own, *which, arrays))

    return call


def _mapped(function: Call, width: int, num_shared: int) -> Call:
    """The function over lanes, [width, ...] each; its last arguments are shared."""

    def over_lanes(*args: Any) -> Any:
        num_own = len(args) - num_shared
        if width > 1:
            axes = (0,) * num_own + (None,) * num_shared
            return jax.vmap(function, axes)(*args)
        own = jax.tree.map(lambda x: x[0], args[:num_own])
        return jax.tree.map(lambda x: x[None], function(*own, *args[num_own:]))

    return over_lanes


def _arguments(program: Program, width: int) -> tuple[Any, ...]:
    """Of a stretch, as shapes or as values that have them."""
    hparams, seeds = stacked(program, [program.hparams] * width, [0] * width)
    init = functools.partial(steps.init, program.plan)
    state, zero = jax.eval_shape(jax.vmap(init), hparams, seeds), np.uint32(0)
    return state, hparams, seeds, zero, zero, _arrays(program)


def _capacity(program: Program) -> int:
    plan = program.plan
    most = max(1, MAX_SEGMENT_STEPS // plan.block_steps)
    return min(most, -(-num_blocks(plan) // _NUM_SEGMENTS))


def _arrays(program: Program) -> dict[str, Any]:
    """Split -> what its source takes from; a problem without data has a train split."""
    data = program.plan.problem.data
    if data is None:
        return {"train": None}
    parts = zip(data._fields, data, strict=True)
    return {name: source.arrays for name, source in parts if source is not None}
