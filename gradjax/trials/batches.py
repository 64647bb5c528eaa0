"""Advances many trials as one program: fills lanes with trials, on every device.

Between two segments the trials that are still active move into full lanes, so trials
that have diverged or stopped cost nothing from then on.
"""

import contextlib
import functools
import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from gradjax.counts import as_whole
from gradjax.errors import Refusal
from gradjax.training import traces
from gradjax.training.blocks import num_blocks
from gradjax.training.segment import TrialInputs
from gradjax.trials import memory
from gradjax.trials import results as results_of
from gradjax.trials.collect import collect
from gradjax.trials.lanes import Call, Lanes, reading, stack
from gradjax.trials.results import BlockRange, Results
from gradjax.types import Hparams, Trials


class Active(NamedTuple):
    """Trials between two segments."""

    results: Results  # of all trials
    own: TrialInputs  # [trials] each
    rows: np.ndarray  # i64[...], the trials that are still active


OnSegment = Callable[[Active, BlockRange], bool | None]


def run(
    lanes: Lanes,
    hparams: list[Hparams],
    seeds: list[int],
    trace_every: int = 1,
    on_segment: OnSegment = lambda *_: None,
    stops: tuple[int, ...] = (),
) -> Trials:
    """Trains trials in memory, each to its end or until it diverges or stops early.

    Args:
      lanes: from `trials.lanes.lanes`.
      hparams: for each trial, the numbers that replace the program's defaults.
      seeds: the seed of each trial.
      trace_every: each point of a training curve is the mean over so many steps; with
        0 a curve has at most 1,000 points, or one per block if there are more blocks.
      on_segment: is called after each segment with the active trials and the blocks;
        if it returns True, all trials end there, with the status "stopped early".
      stops: blocks at which a segment must end.

    Returns:
      Trials, on the host, in the given order.

    Raises:
        Refusal: what `start` refuses, lanes that do not fit into memory, or an
            `on_segment` that returns something else than True, False or None.
    """
    active, ready = start(lanes, hparams, seeds, trace_every), lanes.ready()
    started = time.perf_counter()
    with reading(lanes):
        for blocks in segments(lanes, stops):
            active = advance(lanes, active, blocks)
            if _is_end(on_segment(active, blocks)):
                active = _end(lanes, active, blocks)
            if not len(active.rows):
                break
    run_s = time.perf_counter() - started
    return collect(active.results, active.own, (ready.compile_s, run_s))


def _is_end(said: Any) -> bool:
    """Returns whether a callback asks for the end of the trials."""
    if said is None or isinstance(said, bool | np.bool_):
        return bool(said)
    raise Refusal(
        f"on_segment returned {type(said).__name__}: expected True to end the run, or"
        " None to go on"
    )


def _end(lanes: Lanes, active: Active, blocks: BlockRange) -> Active:
    """Ends all trials after a segment, with their final evaluation."""
    plan, results, rows = lanes.program.plan, active.results, active.rows
    if sum(blocks) < num_blocks(plan) and len(rows):
        _call_all(lanes, active, rows, (sum(blocks), 0, True))
        results.early_step[rows] = sum(blocks) * plan.block_steps
        _compare_with_start(lanes, active, is_end=True)
    return survivors(active)


def start(
    lanes: Lanes, hparams: list[Hparams], seeds: list[int], trace_every: int
) -> Active:
    """Returns trials before their first segment.

    Args: see `run`.

    Raises:
        Refusal: what `training.numbers` refuses, or a negative `trace_every`.
    """
    plan, asked = lanes.program.plan, as_whole(trace_every)
    if asked is None or not 0 <= asked < 2**31:
        raise Refusal(f"trace_every={trace_every!r}: must be a whole number from 0 on")
    every = asked or traces.default_every(plan)
    own = stack(lanes.program, hparams, seeds)
    results = results_of.allocate(plan, lanes.shapes, every, len(seeds))
    return Active(results, own, np.arange(len(seeds)))


def advance(lanes: Lanes, active: Active, blocks: BlockRange) -> Active:
    """Computes a segment of every active trial and records it.

    If a trial stops early in this segment because its patience ran out, its final
    evaluation is computed immediately.

    Raises:
        Refusal: memory ran out although only one call was running.
    """
    is_last = sum(blocks) == num_blocks(lanes.program.plan)
    _call_all(lanes, active, active.rows, (*blocks, is_last))
    results = active.results
    early = active.rows[results.early_step[active.rows] > 0]
    if len(early) and not is_last:
        _call_all(lanes, active, early, (sum(blocks), 0, True))
    _compare_with_start(lanes, active, is_last)
    return survivors(active)


def _compare_with_start(lanes: Lanes, active: Active, is_end: bool) -> None:
    """Compares the parameters of ended trials with the initial ones, if need be.

    A trial whose parameters changed between two segments has learned. Of the others,
    which are few unless a run is one segment, the initial parameters are made again.
    """
    results = active.results
    has_ended = is_end | results_of.has_ended(results)
    is_open = has_ended & (results.diverged_step == 0) & ~results.has_learned
    for group in _groups(active.rows[is_open[active.rows]], lanes.width):
        rows_of = functools.partial(np.take, indices=group, axis=0)
        own = jax.tree.map(rows_of, active.own)
        start, _ = lanes.ready().calls[0](None, own, 0, 0, False)
        results_of.record_learning(results, group, start)


def survivors(active: Active) -> Active:
    """Returns the trials that are still active."""
    has_ended = results_of.has_ended(active.results)
    return active._replace(rows=active.rows[~has_ended[active.rows]])


def segments(lanes: Lanes, stops: tuple[int, ...] = ()) -> Iterator[BlockRange]:
    """Yields (first block, number of blocks) of each segment of a run.

    The first segment is one block, because trials that diverge do so early.

    Args:
      lanes: from `trials.lanes.lanes`.
      stops: blocks at which a segment must end.
    """
    first, total = 0, num_blocks(lanes.program.plan)
    while first < total:
        until = min([stop for stop in (*stops, total) if stop > first])
        count = 1 if first == 0 else min(lanes.form.capacity, until - first)
        yield first, count
        first += count


def _call_all(
    lanes: Lanes, active: Active, rows: np.ndarray, which: tuple[int, int, bool]
) -> None:
    """Calls the lanes with all of these trials; fewer at once if memory runs out."""
    ready, seeds = lanes.ready(), active.own.seed
    if lanes.stage is not None:  # trials of one seed share the examples that are read
        rows = rows[np.argsort(seeds[rows], kind="stable")]
        lanes.stage.expect(seeds[rows], *which[:2])
    groups, at_once = list(_groups(rows, lanes.width)), ready.in_flight
    while groups := _call_groups(active, groups, which, ready.calls[:at_once]):
        if at_once == 1:
            raise memory.too_large(ready.bytes)
        at_once //= 2


def _call_groups(
    active: Active,
    groups: list[np.ndarray],
    which: tuple[int, int, bool],
    calls: tuple[Call, ...],
) -> list[np.ndarray]:
    """Lets each call compute group after group; returns those that do not fit."""
    waiting, failed, results = queue.SimpleQueue(), [], active.results
    for group in groups:
        waiting.put(group)
    is_start = which[0] == 0 and which[1] > 0
    has_x64 = cast(Any, jax.config).jax_enable_x64

    def take(call: Call, group: np.ndarray) -> None:
        rows_of = functools.partial(np.take, indices=group, axis=0)
        state = None if is_start else jax.tree.map(rows_of, results.state)
        try:
            own = active.own if is_start else active.own._replace(start=None)
            found = call(state, jax.tree.map(rows_of, own), *which)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            failed.append(group)
            return
        results_of.record(results, group, which[:2], *found)

    def work(call: Call) -> None:
        with contextlib.suppress(queue.Empty), jax.enable_x64(has_x64):
            while True:
                take(call, waiting.get_nowait())

    used = calls[: len(groups)]
    if len(used) == 1:  # a single run starts no thread
        work(used[0])
        return failed
    with ThreadPoolExecutor(len(used)) as pool:
        list(pool.map(work, used))
    return failed


def _groups(rows: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """Yields the trials in groups of `width`; the last repeats its last trial."""
    for at in range(0, len(rows), width):
        group: Any = rows[at : at + width]
        yield np.concatenate([group, np.repeat(group[-1:], width - len(group))])
