"""Trials take over the trunk of trials of another length, in this record or another.

The trunk becomes the first segment of their cohort, and the states after it a snapshot.
So a kill and a resumption are those of any other cohort. The other trials may have
other blocks and more evaluations: their results are taken over by steps.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.errors import Refusal
from gradjax.files import read_npz
from gradjax.records import inspection, opening
from gradjax.records import store as stored
from gradjax.sweeps import execute, points, segments
from gradjax.sweeps.points import Trial
from gradjax.training.blocks import num_blocks
from gradjax.training.traces import window_ends
from gradjax.trials import batches, segment_arrays
from gradjax.trials import results as results_of
from gradjax.trials.lanes import Lanes
from gradjax.trials.results import Results

_EXECUTED = ("environment", "num_threads", "lane_width")  # of a plan: decide the bits


class Shared(NamedTuple):
    """What the trials of a record share with those of other lengths."""

    after: int = 0  # steps after which states are stored for longer trials; 0: never
    shorter: tuple[Path, ...] = ()  # records of shorter trials, the longest first


class Trunk(NamedTuple):
    """The first steps of a cohort, and the states after them."""

    steps: int
    states: dict[str, np.ndarray]
    segments: list[tuple[dict[str, Any], dict[str, np.ndarray]]]  # (line, arrays) of
    # each segment, in order


def adopt(
    shared: Shared,
    store: Any,
    prefix: str,
    lanes: Lanes,
    cohort: list[Trial],
    event: dict[str, Any],
) -> None:
    """Gives a cohort the trunk of the same trials of another record, if one has it.

    Without it the cohort is trained from its first step, to the same bits.

    Args:
      shared: names the other records.
      store: open to write.
      prefix: the start of the names of the cohort's segments.
      lanes: the program of the cohort.
      cohort: its trials.
      event: lists the trials of its round.

    Raises:
        Refusal: the cohort began with a trunk, and all states after it are lost.
    """
    if not shared.shorter:
        return
    name = f"{prefix}-{0:06d}"
    there = stored.committed_segments(store, prefix).get(name)
    if there is not None:
        is_trained = not there.get("is_copy", False)
        if is_trained or execute.can_go_on(store, prefix):
            return
    for folder in shared.shorter:
        found = _in_record(folder, store, lanes, cohort)
        if found is not None and take_over(store, name, lanes, cohort, event, found):
            return
    if there is not None or any(one["name"] == name for one in store.snapshots):
        raise Refusal(
            f"{store.folder}: {prefix} began with the states of shorter trials, which"
            " are lost, and so are its snapshots; remove the folder to train it again"
        )


def has_trunk(folder: Path) -> bool:
    """Returns whether a record holds states for longer trials, or will hold them."""
    if inspection.is_empty(folder):
        return True  # shorter trials are trained first
    return bool(stored.committed_states(opening.open_to_read(folder, say=_ignore)))


def trials_of(store: Any, name: str) -> list[str]:
    """Returns the ids of the trials of committed states; their values are not read."""
    path = store.folder / stored.committed_states(store)[name]["file"]
    return read_npz(path, only="trial")["trial"].tolist()


def states_of(store: Any, ids: list[str]) -> tuple[str, dict[str, Any]] | None:
    """Returns (cohort, states) of the cohort of these trials; None: not stored."""
    for name in stored.committed_states(store):
        if trials_of(store, name) == ids:
            arrays = stored.read(store, name)
            del arrays["trial"]
            return name.removesuffix("-states"), arrays
    return None


def trunk_of(store: Any, cohort: str, states: dict[str, Any]) -> Trunk | None:
    """Returns the trunk of a cohort with its states; None: segments are damaged."""
    num = stored.committed_states(store)[f"{cohort}-states"]["blocks"]
    end, steps, parts = 0, 0, []
    for name, line in sorted(stored.committed_segments(store, cohort).items()):
        first, count = line["interval"]
        if first == end < num:
            parts.append((line, stored.read(store, name)))
            end, steps = first + count, line["steps"]
    return Trunk(steps, states, parts) if end == num else None


def take_over(
    store: Any,
    name: str,
    lanes: Lanes,
    cohort: list[Trial],
    event: dict[str, Any],
    found: Trunk,
) -> bool:
    """Commits a trunk as the first segment of a cohort, and its states as a snapshot.

    Args:
      store: open to write.
      name: of the segment.
      lanes: the program of the cohort.
      cohort: its trials, in the order of the states.
      event: lists the trials of its round.
      found: the trunk of the same trials, to the same bits.

    Returns:
      False, and nothing is committed, if the trunk does not end with a block of the
      cohort, or its curves have other points.
    """
    active = batches.start(
        lanes,
        [one.numbers for one in cohort],
        [one.seed for one in cohort],
        cohort[0].settings.trace_every,
    )
    results, size = active.results, lanes.program.plan.block_steps
    if not _fits(results, found):
        return False
    for _, arrays in found.segments:
        _record(results, arrays)
    has_ended = results_of.has_ended(results)
    for means in results.final.values():
        for values in means.values():
            values[~has_ended] = np.nan  # evaluated at the end of the shorter run
    # The snapshot is first: a segment without it could not be continued.
    stored.snapshot(store, name, found.states)
    run_s = sum(line["run_s"] for line, _ in found.segments)
    blocks, (last, _) = (0, found.steps // size), found.segments[-1]
    segment = segments.Segment(active.rows, blocks, run_s, event["hash"], last)
    segments.commit_segment(store, name, [one.id for one in cohort], results, segment)
    return True


def _in_record(
    folder: Path, store: Any, lanes: Lanes, cohort: list[Trial]
) -> Trunk | None:
    """Returns the trunk of the same points and seeds in another record, if it has it.

    It must have been trained as this one is: by the same sources, on the same device,
    with the same width of the lanes.
    """
    if inspection.is_empty(folder):
        return None
    source = opening.open_to_read(folder, say=_ignore)
    changes = [
        one for of in (source, store) for one in inspection.environments(of.events)
    ]
    if changes or any(source.plan[key] != store.plan[key] for key in _EXECUTED):
        return None
    wanted = [points.digest([one.point, one.seed]) for one in cohort]
    known = {
        id: points.digest([one["point"], one["seed"]])
        for event in stored.events(source)
        if "round" in event
        for id, one in zip(event["ids"], event["trials"], strict=True)
    }
    for name, line in stored.committed_states(source).items():
        ids = trials_of(source, name)
        is_alike = line.get("lane_width") == lanes.width  # old lines do not say it
        if is_alike and [*map(known.get, ids)] == wanted:
            found = states_of(source, ids)
            return None if found is None else trunk_of(source, *found)
    return None


def _fits(results: Results, found: Trunk) -> bool:
    """Returns whether a trunk ends with a block, with the same points of the curves."""
    plan, steps = results.plan, found.steps
    if steps % plan.block_steps or not 0 < steps < plan.num_steps:
        return False
    ends = window_ends(plan, results.every, 0, steps // plan.block_steps)
    own = np.concatenate([arrays["trace_step"] for _, arrays in found.segments])
    return np.array_equal(ends, own)


def _record(results: Results, arrays: dict[str, np.ndarray]) -> None:
    """Records a segment of trials with other blocks, by its steps.

    Evaluations that are not due in these trials are left out.
    """
    plan, rows = results.plan, arrays["rows"]
    ends = window_ends(plan, results.every, 0, num_blocks(plan))
    here = np.searchsorted(ends, arrays["trace_step"])
    taken = results_of.steps_taken(plan)
    steps = arrays["validation_step"]
    is_due = (steps % plan.eval_every == 0) & np.isin(steps, taken)
    blocks = np.searchsorted(taken, steps[is_due])
    shown = {}
    for path, values in arrays.items():
        part, _, name = path.partition("/")
        if part == "trace" and name:
            results.trace[name][rows[:, None], here] = values
        elif part == "validation" and name:
            results.validation[name][rows[:, None], blocks] = values[:, is_due]
        else:
            shown[path] = values
    segment_arrays.from_arrays(results, (0, 0), shown)


def _ignore(_: str) -> None:
    """Leaves out lines about repairs, which are said where the record is written."""
