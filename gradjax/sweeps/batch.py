"""A batch: trials that a worker trains from their start to their end, as one task.

The worker writes one segment for the complete run of a batch, and the parameters. A
worker that is lost takes its batch with it, which another one then trains from its
start, to the same bits.
"""

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.records import adopted
from gradjax.records import kept as kept_snapshots
from gradjax.records import params as params_of
from gradjax.records.adopted import File
from gradjax.sweeps import execute, keeping, segments
from gradjax.sweeps.points import Trial
from gradjax.trials import batches, collect
from gradjax.trials.batches import Active
from gradjax.trials.lanes import Lanes, reading
from gradjax.types import Target


class Task(NamedTuple):
    """What a worker is asked to do."""

    prefix: str  # the start of the names of its files: round, group and batch
    trials: list[Trial]
    folder: str  # of the record
    writer: dict[str, Any] | None  # who writes in it; a worker that sees the same
    # signature in its folder of this name shares the file system
    round_hash: str  # of the list of trials, for the journal
    keep: str  # a rule of `keeping`: whose parameters are stored
    trunk: int = 0  # see `execute.Hooks`
    kept: tuple[int, ...] = ()


class Counts(NamedTuple):
    """What a person reads of the trials of batches that have ended."""

    trials: int = 0
    diverged: int = 0
    stopped: int = 0
    best: float | None = None  # the best value of the target's metric on validation


def size(width: int, num_seeds: int, is_compared: bool) -> int:
    """Returns the number of trials of a batch.

    Args:
      width: the lane width: the trials of one call.
      num_seeds: the number of trials of one setting, which follow one another.
      is_compared: whether the settings of a batch are compared by their seeds, which
        are then in one batch.
    """
    if not is_compared:
        return width
    return max(width // num_seeds * num_seeds, num_seeds)


def train(lanes: Lanes, task: Task, folder: Path | None) -> tuple[list[File], Counts]:
    """Trains the trials of a task to their end.

    Args:
      lanes: the program of the trials, for one device.
      task: what is asked.
      folder: of the record, if this machine has it; None: the files are returned with
        their content.

    Returns:
      The files of the batch, the segment last, and its counts.

    Raises:
        Refusal: what `batches.start` and `lanes.ready` refuse, or a full disk.
    """
    plan, ids = lanes.program.plan, [one.id for one in task.trials]
    every = task.trials[0].settings.trace_every
    numbers = [one.numbers for one in task.trials]
    active = batches.start(lanes, numbers, [one.seed for one in task.trials], every)
    rows, files, end = active.rows, [], 0
    lanes.ready()
    started = time.perf_counter()
    with reading(lanes):
        for blocks in batches.segments(lanes, (task.trunk, *task.kept)):
            active, end = batches.advance(lanes, active, blocks), sum(blocks)
            if end == task.trunk and len(active.rows):
                own = execute.states_of(active) | {"trial": np.asarray(ids)}
                about = {"blocks": end, "lane_width": lanes.width}
                name = f"{task.prefix}-states"
                files.append(adopted.staged(folder, "states", name, own, **about))
            if end in task.kept and len(active.rows):
                state = active.results.state
                trials = (ids, active.rows, (state.train, state.kept))
                steps = {"steps": min(end * plan.block_steps, plan.num_steps)}
                name, own, about = kept_snapshots.file_of(task.prefix, trials, end)
                kind, about = kept_snapshots.KIND, about | steps
                files.append(adopted.staged(folder, kind, name, own, **about))
            if not len(active.rows):
                break
    run_s, results = time.perf_counter() - started, active.results
    at_end = segments.Segment(rows, (0, end), run_s, task.round_hash)
    segment = segments.segment_file(ids, results, at_end)  # before `collect` changes it
    found = collect.collect(results, active.own, (0.0, 0.0))
    target = plan.problem.target
    is_kept = keeping.keeper(task.keep)(target, task.trials, found)
    own = params_of.arrays_of(ids, found, is_kept)
    files.append(adopted.staged(folder, "params", task.prefix, own))
    name = f"{task.prefix}-{0:06d}"
    files.append(adopted.staged(folder, "segment", name, segment[0], **segment[1]))
    return files, counts(active, target)


def set_aside(lanes: Lanes, task: Task) -> list[File]:
    """Returns the files of a batch that is set aside: its trials have no results."""
    ids, every = [one.id for one in task.trials], task.trials[0].settings.trace_every
    numbers = [one.numbers for one in task.trials]
    active = batches.start(lanes, numbers, [one.seed for one in task.trials], every)
    active.results.is_set_aside[:] = True
    at_end = segments.Segment(active.rows, (0, 1), 0.0, task.round_hash)
    arrays, about = segments.segment_file(ids, active.results, at_end)
    none = params_of.arrays_of(ids, None, np.zeros(len(ids), bool))
    name = f"{task.prefix}-{0:06d}"
    return [
        adopted.staged(None, "params", task.prefix, none),
        adopted.staged(None, "segment", name, arrays, **about),
    ]


def counts(active: Active, target: Target) -> Counts:
    """Returns the counts of the trials of one batch."""
    results = active.results
    stopped = (results.stopped_step > 0) | (results.early_step > 0)
    return Counts(
        len(stopped),
        int((results.diverged_step > 0).sum()),
        int(stopped.sum()),
        _best(results.validation, target),
    )


def _best(validation: dict[str, np.ndarray], target: Target) -> float | None:
    values = validation.get(target.metric)
    if values is None:
        return None
    seen = values[np.isfinite(values + validation.get("loss", values))]
    if not seen.size:
        return None
    return float(seen.max() if target.mode == "max" else seen.min())


def add(some: Counts, more: Counts, target: Target) -> Counts:
    """Returns the counts of two batches together."""
    known = [one.best for one in (some, more) if one.best is not None]
    best = (max if target.mode == "max" else min)(known) if known else None
    return Counts(
        some.trials + more.trials,
        some.diverged + more.diverged,
        some.stopped + more.stopped,
        best,
    )
