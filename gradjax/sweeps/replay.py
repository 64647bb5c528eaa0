"""Computes a window of a finished run again, with any diagnostic, to the same bits.

The order of the examples and the keys of the steps are functions of the seed and of the
step, and the plan of a record holds all that decides the bits. So the steps before the
window are taken again, from the start or from the last kept snapshot before the window,
and those of the window are measured.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.diagnostics.registry import read as read_diagnostics
from gradjax.errors import Refusal
from gradjax.records import extension, inspection, kept, opening, reading
from gradjax.records import store as stored
from gradjax.records.folder import as_folder
from gradjax.records.load import chosen_trial
from gradjax.sweeps import points
from gradjax.sweeps.points import Trial
from gradjax.training import traces
from gradjax.training.blocks import num_blocks
from gradjax.training.program import with_diagnostics
from gradjax.trials import batches, devices, lane_width, lanes
from gradjax.trials import results as results_of
from gradjax.trials.batches import Active
from gradjax.trials.lanes import Lanes
from gradjax.trials.results import measured_steps
from gradjax.types import Plan, Program, Series, Settings

Steps = tuple[int, int]  # the first and the last step, from 1
_RTOL = 1e-3  # of losses in another environment
_ATOL = 1e-6


class Recorded(NamedTuple):
    """A trial of a record, and what is needed to train it again."""

    store: Any  # open to read
    plan: dict[str, Any]  # of the record
    trial: Trial
    loss: Series  # of training, as the record holds it


class Replay(NamedTuple):
    """A window that was computed again.

    Attributes:
      program: of the trial, with the diagnostics.
      trace: "loss" and the curves of the diagnostics: Series with the steps of the
        window.
      start: the steps before the kept snapshot at which it began; 0: at the first step.
      num_compared: the points of the recorded loss that were compared.
      num_equal: those of them with the same bits; in another environment those within a
        relative tolerance of 1e-3.
      changes: what differs from the environment of the record, in words.
    """

    program: Program
    trace: dict[str, Series]
    start: int
    num_compared: int
    num_equal: int
    changes: list[str]


def recorded(
    folder: str | Path,
    trial: int | str | None,
    complete: Callable[[Settings], Settings] = lambda settings: settings,
) -> Recorded:
    """Reads a trial of a finished run or sweep.

    Args:
      folder: of the record.
      trial: as `gradjax.load` takes it.
      complete: adds what the settings of a plan leave out, such as the folder of the
        data, to the settings of the command.

    Raises:
        Refusal: no such record or trial, a lesson, or a trial whose settings this
            version of gradjax reads in another way.
    """
    path = as_folder(folder)
    if opening.kind_of(path) != "trials":
        raise Refusal(f"{path}: is a lesson, which has no trials to compute again")
    store = opening.open_to_read(path, say=warnings.warn)
    plan, chosen = extension.current_plan(path), chosen_trial(path, store, trial)
    base = complete(_settings(plan))
    for event in stored.events(store):
        if "round" in event and chosen in event["ids"]:
            row = event["trials"][event["ids"].index(chosen)]
            made = points.trial(base, row["point"], row["seed"])
            if made.id == chosen:
                loss = reading.trace_of(store, chosen)["loss"]
                return Recorded(store, plan, made, loss)
    raise Refusal(
        f"{path}: this version of gradjax does not read the settings of trial {chosen}"
        " as they were read when it was trained (or its command had a --data_dir, which"
        " is to be given)"
    )


def replay(
    program: Program,
    found: Recorded,
    steps: Steps,
    diagnostics: Any,
    now: dict[str, Any],
    say: Callable[[str], None] = lambda _: None,
) -> Replay:
    """Trains a trial again up to a window, and measures each step of the window.

    Args:
      program: of the trial, as it was trained, without diagnostics.
      found: from `recorded`.
      steps: the first and the last step of the window, as curves count them.
      diagnostics: as `gradjax.program` takes them. One without an interval is measured
        at every step of the window.
      now: the environment of this process.
      say: gets a line with the time that it will take.

    Raises:
        Refusal: a window outside of the run, or a diagnostic that it cannot have.
    """
    first, last = _checked(program.plan, steps)
    chosen = [
        one._replace(window=(first - 1, last))
        for one in read_diagnostics(diagnostics, last - first + 1, every=1)
    ]
    program = with_diagnostics(program, chosen)
    is_run = not found.plan["space"]
    made = lanes.lanes(program, _width(found, program), 1, with_train=is_run)
    active, start = _begun(made, found, first)
    say(_time(made, start, last))
    losses, trace = _trained(made, active, start, last)
    shown = {
        "loss": Series(np.arange(first, last + 1), losses[first - 1 : last]),
        **trace,
    }
    changes = _changes(found, now, program)
    counts = _compared(found, program.plan, losses, start, is_exact=not changes)
    return Replay(program, shown, start, *counts, changes)


def use_threads(found: Recorded) -> None:
    """Starts the backend with the threads of the record, on which bits may depend."""
    if (threads := found.plan.get("num_threads")) is not None:
        devices.use(threads)


def _settings(plan: dict[str, Any]) -> Settings:
    """Returns the settings of a record's plan."""
    known = dict(plan["settings"])
    own = tuple(
        (name, tuple(value) if isinstance(value, list) else value)
        for name, value in known.pop("own").items()
    )
    fields = {name: known[name] for name in Settings._fields if name in known}
    return Settings(**fields, own=own)


def _checked(plan: Plan, steps: Steps) -> Steps:
    first, last = steps
    if not 1 <= first <= last <= plan.num_steps:
        raise Refusal(
            f"steps {first}:{last}: expected a window within 1:{plan.num_steps}, the"
            " steps of the run"
        )
    return first, last


def _width(found: Recorded, program: Program) -> int:
    """Returns the lane width with which the trial was trained."""
    width = found.plan["lane_width"]
    if isinstance(width, int):
        return width
    return lane_width.default_width(program, tuple(map(tuple, width)))


def _begun(made: Lanes, found: Recorded, first: int) -> tuple[Active, int]:
    """Returns copies of the trial in all lanes, and the steps that they have taken.

    They are at the last kept snapshot before the window, if there is one. The memories
    of the diagnostics are those before the first step, as in a replay from the start.
    """
    one, size = found.trial, made.program.plan.block_steps
    numbers, seeds = [one.numbers] * made.width, [one.seed] * made.width
    active = batches.start(made, numbers, seeds, trace_every=1)
    usable = [
        snapshot
        for snapshot in kept.of_trial(found.store, one.id)
        if snapshot.steps < first and snapshot.steps % size == 0
    ]
    if not usable:
        return active, 0
    before = made.ready().calls[0](None, active.own, 0, 0, False)
    results_of.record(active.results, active.rows, (0, 0), *before)
    state = active.results.state
    leaves = kept.read(found.store, usable[-1])
    is_put = kept.put((state.train, state.kept), leaves)
    return active, usable[-1].steps if is_put else 0


def _time(made: Lanes, start: int, last: int) -> str:
    part = (last - start) / made.program.plan.num_steps
    seconds = lanes.estimated_seconds(made, made.width) * part
    where = f"from the snapshot after step {start:,}: " if start else ""
    return (
        f"{where}takes the steps {start + 1:,} to {last:,} again, in about"
        f" {max(1, round(seconds)):,} s"
    )


def _trained(
    made: Lanes, active: Active, start: int, last: int
) -> tuple[np.ndarray, dict[str, Series]]:
    """Trains the copies of a trial from one step up to another.

    Returns:
      All losses up to a block that has the last step, f32[steps], NaN before the start;
      and the curves of the diagnostics.
    """
    plan = made.program.plan
    begin = start // plan.block_steps
    end = -(-last // plan.block_steps)  # the block of the last step
    with lanes.reading(made):
        for blocks in batches.segments(made, (begin, end)):
            if blocks[0] < begin:
                continue
            active = batches.advance(made, active, blocks)
            if sum(blocks) >= end or not len(active.rows):
                break
    results, trace = active.results, {}
    for k, curves in enumerate(results.measured):
        steps = measured_steps(plan, k)
        trace |= {name: Series(steps, rows[0]) for name, rows in curves.items()}
    done = min(end * plan.block_steps, plan.num_steps)
    return results.trace["loss"][0, :done], trace


def _compared(
    found: Recorded, plan: Plan, losses: np.ndarray, start: int, is_exact: bool
) -> tuple[int, int]:
    """Compares losses with the recorded means over windows: (points, equal points).

    Windows begin and end with a block at the latest, as the replay does.
    """
    every = found.trial.settings.trace_every or traces.default_every(plan)
    starts, ends = (
        of(plan, every, 0, num_blocks(plan))
        for of in (traces.window_starts, traces.window_ends)
    )
    is_here = (starts >= start) & (ends <= len(losses))
    if not is_here.any():
        return 0, 0
    starts, ends = starts[is_here], ends[is_here]
    cut = losses[None, start : ends[-1]]
    means = traces.window_means(cut, starts - start, ends - start)[0]
    there = dict(zip(found.loss.steps.tolist(), found.loss.values, strict=True))
    is_known = np.isin(ends, list(there))  # a step without a finite loss has no point
    means, ends = means[is_known], ends[is_known]
    there = np.asarray([there[end] for end in ends.tolist()], means.dtype)
    if is_exact:
        return len(ends), int((means == there).sum())
    return len(ends), int(np.isclose(means, there, rtol=_RTOL, atol=_ATOL).sum())


def _changes(found: Recorded, now: dict[str, Any], program: Program) -> list[str]:
    """Returns what differs and may change the last bits, in words.

    An older record does not know its instruction set, which is then not compared.
    """
    before = found.plan["environment"]
    names = ("python", "backend", "device", "instruction_set", "mesh", "num_processes")
    pairs = [(name, before.get(name), now.get(name)) for name in names]
    pairs = [pair for pair in pairs if pair[0] in before]
    old, new = before.get("versions", {}), now.get("versions", {})
    pairs += [(name, old[name], new.get(name)) for name in old]
    for kind, word in (("sources", "source"), ("functions", "function")):
        old, new = before.get(kind, {}), now.get(kind, {})
        pairs += [
            (f"the {word} {name}", old[name], new[name]) for name in old if name in new
        ]
    threads = found.plan.get("num_threads")
    if threads is not None and not devices.is_small(program):
        pairs.append(("threads of an operation", threads, devices.num_threads()))
    changes = [
        f"{name.replace('_', ' ')} {there} there, {here} here"
        for name, there, here in pairs
        if there != here
    ]
    if count := len(inspection.environments(found.store.events)):
        changes.append(f"the record was continued in {count} other environments")
    return changes
