"""Trains trials and commits every segment, so that a killed process can resume.

The trials of a cohort advance together, and each of their segments is committed when it
has been computed. The states between two segments are stored separately, in the last
two snapshots, because they are as large as all networks of the cohort together. A
process that resumes reads the segments up to the last snapshot, and computes those
after it again.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from gradjax.errors import Interrupted, Refusal
from gradjax.records import kept as kept_snapshots
from gradjax.records import params as params_of
from gradjax.records import store as stored
from gradjax.records.kept import storable
from gradjax.sweeps import attempts
from gradjax.sweeps.points import Trial
from gradjax.sweeps.segments import Segment, commit_segment
from gradjax.training.blocks import num_blocks
from gradjax.trials import batches, collect, processes, segment_arrays
from gradjax.trials.batches import Active
from gradjax.trials.lanes import Lanes
from gradjax.trials.results import BlockRange
from gradjax.types import Plan, Trials

Halve = Callable[[Active, BlockRange], None]  # writes stopped_step
Keep = Callable[[list[Trial], Trials], np.ndarray]
# (trials of a cohort, their results) -> bool[trials], whose parameters are stored
# The time between two snapshots, which a kill may cost, is at least this many seconds
# and at least this multiple of the time that a snapshot takes.
_SNAPSHOT_S = 2.0
_SNAPSHOT_PART = 30


class Hooks(NamedTuple):
    """Functions that are called between two segments."""

    keep: Keep
    round_hash: str = ""  # of the list of trials, for the journal
    stops: tuple[int, ...] = ()  # blocks after which `halve` must be called
    halve: Halve = lambda *_: None  # called after each segment
    trunk: int = 0  # blocks after which the states are stored for a longer run; 0: none
    kept: tuple[int, ...] = ()  # blocks after which a snapshot is kept for replays
    on_segment: batches.OnSegment = lambda *_: None  # after each computed segment
    on_read: batches.OnSegment = lambda *_: None  # after each segment that was read
    on_ready: Callable[[], None] = lambda: None  # when the program is compiled
    stop_requested: Callable[[], int | None] = lambda: None  # the number of a signal


class _Found(NamedTuple):
    """The results that an earlier process committed of a cohort."""

    block_ranges: list[BlockRange]  # of its segments, from the first block on
    num_known: int  # segments that need not be computed again
    snapshot: dict[str, np.ndarray] | None  # the states after these segments


def run_cohort(
    store: Any, prefix: str, lanes: Lanes, cohort: list[Trial], hooks: Hooks
) -> Trials:
    """Trains a cohort to its end; resumes at the last snapshot of an earlier process.

    Args:
      store: open to write.
      prefix: the start of the names of its segments: round, group and cohort.
      lanes: the program of the group.
      cohort: the trials.
      hooks: functions that are called between two segments.

    Returns:
      Trials, in the order of `cohort`; their `run_s` counts the segments that earlier
      processes computed as well, their `compile_s` is of this process.

    Raises:
        Interrupted: a signal asked for a stop; the segment and its states are stored.
    """
    plan, times, ids = lanes.program.plan, [0.0, 0.0], [one.id for one in cohort]
    active = batches.start(
        lanes,
        [one.numbers for one in cohort],
        [one.seed for one in cohort],
        cohort[0].settings.trace_every,
    )
    found = _find_committed(store, prefix)
    due = time.monotonic() + _SNAPSHOT_S
    stops = (*hooks.stops, hooks.trunk, *hooks.kept)
    for k, blocks in enumerate(_block_ranges(lanes, stops, found)):
        rows, name = active.rows, f"{prefix}-{blocks[0]:06d}"
        if k < found.num_known:
            segment_arrays.from_arrays(active.results, blocks, stored.read(store, name))
            times[1] += stored.committed_segments(store, prefix)[name]["run_s"]
            active = batches.survivors(active)
        else:
            if k == found.num_known and found.snapshot is not None:
                _put_states(active, found.snapshot)
            if k == found.num_known:  # nothing was computed that could be lost
                _pause(hooks, "the start")
                times[0] = lanes.ready().compile_s
                _pause(hooks, "compiling")
            hooks.on_ready()
            started = time.perf_counter()
            active = attempts.advance(store, name, lanes, active, blocks)
            run_s = time.perf_counter() - started
            times[1] += run_s
            steps = min(sum(blocks) * plan.block_steps, plan.num_steps)
            if steps == plan.num_steps or not len(active.rows):
                params_of.commit(
                    store, prefix, ids, _collect(active), hooks.keep, cohort
                )
            if sum(blocks) == hooks.trunk and len(active.rows):
                own = states_of(active) | {"trial": np.asarray(ids)}
                about = {"blocks": hooks.trunk, "lane_width": lanes.width}
                name_of_states = f"{prefix}-states"
                stored.commit_states(store, name_of_states, own, kind="states", **about)
            if sum(blocks) in hooks.kept and len(active.rows):
                _keep_snapshot(store, prefix, ids, active, steps)
            at_end = Segment(rows, blocks, run_s, hooks.round_hash)
            commit_segment(store, name, ids, active.results, at_end)
        hooks.halve(active, blocks)
        active = batches.survivors(active)
        is_over = sum(blocks) * plan.block_steps >= plan.num_steps
        number = hooks.stop_requested()
        is_due = number is not None or time.monotonic() > due
        is_due = bool(processes.largest(is_due))  # all of them, or none
        if k >= found.num_known and len(active.rows) and not is_over and is_due:
            started = time.monotonic()
            stored.snapshot(store, name, states_of(active))
            now = time.monotonic()
            due = now + max(_SNAPSHOT_S, _SNAPSHOT_PART * (now - started))
        if number is not None:
            raise Interrupted(number, f"segment {name}")
        is_new = k >= found.num_known
        (hooks.on_segment if is_new else hooks.on_read)(active, blocks)
        if not len(active.rows):
            break
    return collect.collect(active.results, active.own, (times[0], times[1]))


def _pause(hooks: Hooks, after: str) -> None:
    """Ends the trials if a signal has requested a stop."""
    if (number := hooks.stop_requested()) is not None:
        raise Interrupted(number, after)


def kept_blocks(plan: Plan, count: int | None) -> tuple[int, ...]:
    """Returns the blocks after which so many snapshots are kept, evenly over a run."""
    total, count = num_blocks(plan), min(count or 0, num_blocks(plan) - 1)
    return tuple(total * k // (count + 1) for k in range(1, count + 1))


def can_go_on(store: Any, prefix: str) -> bool:
    """Returns whether a cohort with a segment has ended, or has a snapshot of its own.

    Args:
      store: open to write.
      prefix: the start of the names of the cohort's segments.
    """
    names = stored.committed_segments(store, prefix)
    if any(one["name"] in names for one in store.snapshots[-1:]):
        return True
    is_stored = stored.is_committed(store, "params", prefix)
    return is_stored and _is_last(store, prefix, max(names))


def _collect(active: Active) -> Trials:
    """Collects the results of a cohort whose trials have all ended."""
    return collect.collect(active.results, active.own, (0.0, 0.0))


def _find_committed(store: Any, prefix: str) -> _Found:
    """Finds what an earlier process committed of a cohort.

    If the last segment of the cohort is committed, nothing is computed again. Otherwise
    the process resumes at the latest snapshot. Segments that were committed after it
    are computed again and must be the same.
    """
    committed = {
        tuple(record["interval"]): name
        for name, record in stored.committed_segments(store, prefix).items()
    }
    block_ranges: list[BlockRange] = []
    while following := [one for one in committed if one[0] == _end(block_ranges)]:
        block_ranges.append(following[0])
    names = [committed[one] for one in block_ranges]
    is_over = stored.is_committed(store, "params", prefix)  # written at its end
    if is_over and names and _is_last(store, prefix, names[-1]):
        return _Found(block_ranges, len(block_ranges), None)
    latest = stored.latest_snapshot(store) if names else None
    if latest is not None and latest[0] in names:
        return _Found(block_ranges, names.index(latest[0]) + 1, latest[1])
    return _Found(block_ranges, 0, None)


def _is_last(store: Any, prefix: str, name: str) -> bool:
    """Returns whether a segment is the last one of its cohort."""
    record = stored.committed_segments(store, prefix)[name]
    if record["steps"] == record["num_steps"]:
        return True
    arrays = stored.read(store, name)
    has_ended = (arrays["diverged_step"] > 0) | (arrays["early_step"] > 0)
    return bool((has_ended | arrays["is_set_aside"]).all())


def _end(block_ranges: list[BlockRange]) -> int:
    return sum(block_ranges[-1]) if block_ranges else 0


def _block_ranges(
    lanes: Lanes, stops: tuple[int, ...], found: _Found
) -> Iterator[BlockRange]:
    """Yields the segments of a cohort: first those that were committed."""
    yield from found.block_ranges
    end = _end(found.block_ranges)
    for first, count in batches.segments(lanes, stops):
        if first + count > end:
            start = max(first, end)
            yield start, first + count - start


def states_of(active: Active) -> dict[str, np.ndarray]:
    """Returns the states of all trials, as named arrays.

    The trials that have ended are among them, because their parameters are stored with
    the last segment of the cohort.
    """
    leaves = jax.tree.leaves(_carried(active))
    arrays = {f"state/{k}": storable(np.asarray(x)) for k, x in enumerate(leaves)}
    return arrays | {"rows": active.rows}


def _put_states(active: Active, arrays: dict[str, np.ndarray]) -> None:
    """Restores the states that `states_of` returned."""
    if not np.array_equal(active.rows, arrays["rows"]):
        raise RuntimeError("a snapshot of other trials than the active ones")
    leaves = jax.tree.leaves(_carried(active))
    if leaves and "state/0" not in arrays:
        raise Refusal(
            "its snapshots are of an older version of gradjax: --overwrite trains again"
        )
    for k, leaf in enumerate(leaves):
        leaf[...] = arrays[f"state/{k}"].view(leaf.dtype)


def _carried(active: Active) -> Any:
    """Returns what the results hold of the states of the trials: [trials, ...]."""
    of = active.results
    return of.state, of.params, of.model_state


def _keep_snapshot(
    store: Any, prefix: str, ids: list[str], active: Active, steps: int
) -> None:
    """Keeps the states of the active trials for replays."""
    state, size = active.results.state, active.results.plan.block_steps
    trials, blocks = (ids, active.rows, (state.train, state.kept)), steps // size
    kept_snapshots.commit(store, prefix, trials, blocks, steps=steps)
