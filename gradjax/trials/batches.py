"""Many runs as one program: batches of lanes, on every device.

Between stretches the trials that still live are gathered into fresh lanes, so those
that diverged cost nothing from then on.
"""

import contextlib
import functools
import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np

from gradjax.training.blocks import num_blocks
from gradjax.trials import memory, results
from gradjax.trials.lanes import Call, Lanes, stacked
from gradjax.types import Hparams, Trials

OnSegment = Callable[[int, int, int], None]  # (block steps done, of all, alive)


def run(
    lanes: Lanes,
    hparams: list[Hparams],
    seeds: list[int],
    on_segment: OnSegment = lambda *_: None,
) -> Trials:
    """Trains every trial to its end, or until its loss is not finite.

    Args:
      lanes: from `gradjax.trials.lanes.lanes`.
      hparams: for each trial, the numbers that replace the program's defaults.
      seeds: one a trial.
      on_segment: called with (steps done, steps of a run, trials alive) after each
        stretch of all trials.

    Returns:
      Trials, on the host, in the order given.

    Raises:
        Refusal: what `training.checked_hparams` and `checked_seed` refuse; a batch that
            memory does not hold.
    """
    going, ready = begun(lanes, hparams, seeds), lanes.ready()
    start, plan = time.perf_counter(), lanes.program.plan
    for stretch in segments(lanes):
        going = advanced(lanes, going, stretch)
        taken = min(sum(stretch) * plan.block_steps, plan.num_steps)
        on_segment(taken, plan.num_steps, len(going.alive))
        if not len(going.alive):
            break
    return ended(lanes, going, (ready.compile_s, time.perf_counter() - start))


class Going(NamedTuple):
    """Trials on their way, between two stretches."""

    book: results.Book
    hparams: Hparams  # [trials] each
    seeds: np.ndarray  # u32[trials]
    alive: np.ndarray  # i64[...]: the rows that go on


def begun(lanes: Lanes, hparams: list[Hparams], seeds: list[int]) -> Going:
    """Trials before their first stretch.

    Args and Raises: see `run`.
    """
    numbers, roots = stacked(lanes.program, hparams, seeds)
    state, seen = lanes.shapes
    book = results.opened(state, seen, lanes.program.plan, lanes.every, len(seeds))
    return Going(book, numbers, roots, np.arange(len(seeds)))


def advanced(lanes: Lanes, going: Going, stretch: tuple[int, int]) -> Going:
    """After (first block, blocks) of every trial that lives; the book is written to.

    Raises:
        Refusal: memory ran out with one batch alone.
    """
    ready = lanes.ready()
    groups, at_once = list(_groups(going.alive, lanes.width)), ready.in_flight
    while groups := _advance(lanes, going, stretch, groups, ready.calls[:at_once]):
        if at_once == 1:
            raise memory.too_large(ready.batch_bytes)
        at_once //= 2
    return survivors(going)


def survivors(going: Going) -> Going:
    """Without those that diverged, were stopped or set aside."""
    book = going.book
    has_ended = (book.diverged_step > 0) | (book.stopped_step > 0) | book.is_set_aside
    return going._replace(alive=going.alive[~has_ended[going.alive]])


def ended(lanes: Lanes, going: Going, times: tuple[float, float]) -> Trials:
    """The trials, when all of them are over; `times` are to compile and to run."""
    plan = lanes.program.plan
    return results.closed(plan, going.book, going.hparams, going.seeds, times)


def segments(lanes: Lanes, stops: tuple[int, ...] = ()) -> Iterator[tuple[int, int]]:
    """(first block, blocks) of each stretch; the first is short, as divergence is.

    Args:
      lanes: from `gradjax.trials.lanes.lanes`.
      stops: blocks at which a stretch must end.
    """
    first, total = 0, num_blocks(lanes.program.plan)
    while first < total:
        until = min([stop for stop in (*stops, total) if stop > first])
        count = 1 if first == 0 else min(lanes.capacity, until - first)
        yield first, count
        first += count


def _advance(
    lanes: Lanes,
    going: Going,
    stretch: tuple[int, int],
    groups: list[np.ndarray],
    calls: tuple[Call, ...],
) -> list[np.ndarray]:
    """A batch at a time by each call; gives those that memory ran out on."""
    waiting, failed, book = queue.SimpleQueue(), [], going.book
    for group in groups:
        waiting.put(group)

    def work(call: Call) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                group = waiting.get_nowait()
                taking = functools.partial(np.take, indices=group, axis=0)
                state = jax.tree.map(taking, book.state) if stretch[0] else None
                own = jax.tree.map(taking, (going.hparams, going.seeds))
                try:
                    seen = call(state, *own, *stretch)
                except jax.errors.JaxRuntimeError as error:
                    if "RESOURCE_EXHAUSTED" not in str(error):
                        raise
                    failed.append(group)
                    continue
                results.enter(lanes.program.plan, book, group, stretch, *seen)

    with ThreadPoolExecutor(len(calls)) as pool:
        list(pool.map(work, calls))
    return failed


def _groups(alive: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """The trials that live, in batches; the last is filled up with its last trial."""
    for at in range(0, len(alive), width):
        group = alive[at : at + width]
        yield np.concatenate([group, np.repeat(group[-1:], width - len(group))])
