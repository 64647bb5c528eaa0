"""Many runs as one program: lanes.

A lane is one trial: its own numbers and its own seed, the data shared. `width` lanes
are mapped together on one device, and every device runs the same program. A width of
1 is no map at all: it has the bits of a single run. At any one width a trial has the
same bits in every lane, beside any neighbours, on any number of devices, in stretches
of any length; so the width belongs to what is asked, and the devices do not.

Between stretches the trials that still live are gathered into fresh lanes, so those
that diverged cost nothing from then on.
"""

import contextlib
import functools
import math
import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import SingleDeviceSharding

from gradjax import ledger, training
from gradjax import step as steps
from gradjax.blocks import num_blocks
from gradjax.errors import Refusal
from gradjax.segment import segment
from gradjax.types import Hparams, Program, Trials

MAX_SEGMENT_STEPS = 20_000  # what a stretch reports is kept on the device
_NUM_SEGMENTS = 4  # at least, so that the diverged leave early
# (bytes of a trial's state, lanes mapped together), in rising order.
_WIDTHS = {
    "cpu": ((4_000, 64), (150_000, 16), (math.inf, 1)),
    "accelerator": ((math.inf, 256),),  # not measured
}

OnSegment = Callable[[int, int, int], None]  # (block steps done, of all, alive)


class Lanes(NamedTuple):
    """A program over `width` trials, on each of several devices."""

    program: Program
    width: int
    capacity: int  # blocks a stretch, at most
    shapes: Any  # (state, Seen), [width, ...]
    devices: tuple[Any, ...]
    compiled: Callable[[], tuple[tuple[Callable[..., Any], ...], float]]
    # () -> (one call a device, seconds); made at the first call and kept. A call is
    # (state, hparams, seeds, first, count) -> (state, Seen), both on the host


def lanes(program: Program, width: int = 1, num_devices: int | None = None) -> Lanes:
    """A program for many trials, compiled when it is first needed.

    It is compiled once for each device, side by side, and not once for all of them: XLA
    optimises a program of several partitions otherwise than that of one, and the last
    bits of a trial would depend on the number of devices.

    Args:
      program: from `gradjax.program`.
      width: trials that are mapped together on one device.
      num_devices: how many devices; None: all there are.

    Raises:
        Refusal: a width or a number of devices that is not positive, or more devices
            than there are.
    """
    devices = jax.devices()
    used = len(devices) if num_devices is None else num_devices
    for name, value, most in (
        ("width", width, 2**20),
        ("num_devices", used, len(devices)),
    ):
        if type(value) is not int or not 1 <= value <= most:
            raise Refusal(f"{name}={value!r}: must be a whole number from 1 to {most}")
    capacity, own = _capacity(program), tuple(devices[:used])
    stretch = functools.partial(_lanes, program, width, capacity)
    arguments = _arguments(program, width)
    shapes = jax.eval_shape(stretch, *arguments)

    @functools.cache
    def compiled() -> tuple[tuple[Callable[..., Any], ...], float]:
        start = time.perf_counter()
        with ThreadPoolExecutor(used) as pool:
            calls = tuple(pool.map(lambda on: _compiled(stretch, arguments, on), own))
        return calls, time.perf_counter() - start

    return Lanes(program, width, capacity, shapes, own, compiled)


def run(
    lanes: Lanes,
    hparams: list[Hparams],
    seeds: list[int],
    on_segment: OnSegment = lambda *_: None,
) -> Trials:
    """Trains every trial to its end, or until its loss is not finite.

    Args:
      lanes: from `lanes`.
      hparams: for each trial, the numbers that replace the program's defaults.
      seeds: one a trial.
      on_segment: called with (steps done, steps of a run, trials alive) after each
        stretch of all trials.

    Returns:
      Trials, on the host, in the order given.

    Raises:
        Refusal: what `training.checked_hparams` and `checked_seed` refuse.
    """
    going, (_, compile_s) = begun(lanes, hparams, seeds), lanes.compiled()
    start, plan = time.perf_counter(), lanes.program.plan
    for stretch in segments(lanes):
        going = advanced(lanes, going, stretch)
        taken = min(sum(stretch) * plan.block_steps, plan.num_steps)
        on_segment(taken, plan.num_steps, len(going.alive))
        if not len(going.alive):
            break
    return ended(lanes, going, (compile_s, time.perf_counter() - start))


class Going(NamedTuple):
    """Trials on their way, between two stretches."""

    book: ledger.Book
    hparams: Hparams  # [trials] each
    seeds: np.ndarray  # u32[trials]
    alive: np.ndarray  # i64[...]: the rows that go on


def begun(lanes: Lanes, hparams: list[Hparams], seeds: list[int]) -> Going:
    """Trials before their first stretch.

    Args and Raises: see `run`.
    """
    numbers, roots = _stacked(lanes.program, hparams, seeds)
    state, seen = lanes.shapes
    book = ledger.opened(state, seen, lanes.program.plan, len(seeds))
    return Going(book, numbers, roots, np.arange(len(seeds)))


def advanced(lanes: Lanes, going: Going, stretch: tuple[int, int]) -> Going:
    """After (first block, blocks) of every trial that lives; the book is written to."""
    _advance(lanes, going, stretch)
    return survivors(going)


def survivors(going: Going) -> Going:
    """Without those that diverged or were stopped."""
    has_ended = (going.book.diverged_step > 0) | (going.book.stopped_step > 0)
    return going._replace(alive=going.alive[~has_ended[going.alive]])


def ended(lanes: Lanes, going: Going, times: tuple[float, float]) -> Trials:
    """The trials, when all of them are over; `times` are to compile and to run."""
    plan = lanes.program.plan
    return ledger.closed(plan, going.book, going.hparams, going.seeds, times)


def usual_width(program: Program) -> int:
    """The width that was measured to be fast for a program of this size."""
    init = functools.partial(steps.init, program.plan)
    hparams, seeds = _stacked(program, [program.hparams], [0])
    state = jax.eval_shape(jax.vmap(init), hparams, seeds)
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    rule = _WIDTHS["cpu" if jax.default_backend() == "cpu" else "accelerator"]
    return next(width for most_bytes, width in rule if size <= most_bytes)


def segments(lanes: Lanes, stops: tuple[int, ...] = ()) -> Iterator[tuple[int, int]]:
    """(first block, blocks) of each stretch; the first is short, as divergence is.

    Args:
      lanes: from `lanes`.
      stops: blocks at which a stretch must end.
    """
    first, total = 0, num_blocks(lanes.program.plan)
    while first < total:
        until = min([stop for stop in (*stops, total) if stop > first])
        count = 1 if first == 0 else min(lanes.capacity, until - first)
        yield first, count
        first += count


def _advance(lanes: Lanes, going: Going, stretch: tuple[int, int]) -> None:
    """A batch at a time on each device."""
    waiting, book = queue.SimpleQueue(), going.book
    for group in _groups(going.alive, lanes.width):
        waiting.put(group)

    def work(call: Callable[..., Any]) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                group = waiting.get_nowait()
                taking = functools.partial(np.take, indices=group, axis=0)
                placed = jax.tree.map(taking, (book.state, going.hparams, going.seeds))
                ledger.enter(
                    lanes.program.plan, book, group, stretch, *call(*placed, *stretch)
                )

    calls, _ = lanes.compiled()
    with ThreadPoolExecutor(len(calls)) as pool:
        list(pool.map(work, calls))


def _arguments(program: Program, width: int) -> tuple[Any, ...]:
    """Of a stretch, as shapes or as values that have them."""
    hparams, seeds = _stacked(program, [program.hparams] * width, [0] * width)
    init = functools.partial(steps.init, program.plan)
    state, zero = jax.eval_shape(jax.vmap(init), hparams, seeds), np.uint32(0)
    return state, hparams, seeds, zero, zero, _arrays(program)


def _compiled(
    stretch: Callable[..., Any], arguments: tuple[Any, ...], device: Any
) -> Callable[..., Any]:
    """The stretch on a device, which then holds the data."""
    there = SingleDeviceSharding(device)
    jitted = jax.jit(stretch, donate_argnums=0, in_shardings=there, out_shardings=there)
    compiled = jitted.lower(*arguments).compile()
    arrays = jax.device_put(arguments[-1], there)

    def call(*args: Any) -> Any:
        *own, first, count = args
        placed = jax.device_put((*own, np.uint32(first), np.uint32(count)), there)
        return jax.device_get(compiled(*placed, arrays))

    return call


def _lanes(program: Program, width: int, capacity: int, *args: Any) -> Any:
    """The stretch of all lanes of one device, [width, ...] each."""
    stretch = functools.partial(segment, program.plan, capacity)
    if width > 1:
        return jax.vmap(stretch, (0, 0, 0, None, None, None))(*args)
    state, hparams, seed = jax.tree.map(lambda x: x[0], args[:3])
    seen = stretch(state, hparams, seed, *args[3:])
    return jax.tree.map(lambda x: x[None], seen)


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


def _stacked(
    program: Program, hparams: list[Hparams], seeds: list[int]
) -> tuple[Hparams, np.ndarray]:
    """Checked, and with a leading axis of trials."""
    checked = [training.checked_hparams(program, one) for one in hparams]
    numbers = {
        path: np.stack([one[path] for one in checked]) for path in program.hparams
    }
    return numbers, np.asarray([training.checked_seed(seed) for seed in seeds])


def _groups(alive: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """The trials that live, in batches; the last is filled up with its last trial."""
    for at in range(0, len(alive), width):
        group = alive[at : at + width]
        yield np.concatenate([group, np.repeat(group[-1:], width - len(group))])
