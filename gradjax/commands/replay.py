"""Computes a window of a finished run again, with any diagnostic, to the same bits.

The order of the examples and the keys of the steps are functions of the seed and of the
step, and the plan of a record holds all that decides the bits. So the steps before the
window are taken again, and those of the window are measured.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax import records
from gradjax.commands import experiment as experiments
from gradjax.commands.experiment import Experiment
from gradjax.diagnostics.registry import read as read_diagnostics
from gradjax.errors import Refusal
from gradjax.records import extension, opening, reading
from gradjax.records import store as stored
from gradjax.records.folder import as_folder
from gradjax.records.initial import read as read_initial
from gradjax.records.initial import started
from gradjax.records.load import chosen_trial
from gradjax.records.sources import named_modules
from gradjax.sweeps import points
from gradjax.sweeps.points import Trial
from gradjax.training import traces
from gradjax.training.program import with_diagnostics
from gradjax.trials import batches, devices, lane_width, lanes
from gradjax.trials.lanes import Lanes
from gradjax.trials.results import measured_steps
from gradjax.types import Plan, Program, Series, Settings

Steps = tuple[int, int]  # the first and the last step, from 1
_RTOL = 1e-3  # of losses in another environment


class Recorded(NamedTuple):
    """A trial of a record, and what is needed to train it again."""

    plan: dict[str, Any]  # of the record
    trial: Trial
    loss: Series  # of training, as the record holds it


class Replay(NamedTuple):
    """A window that was computed again.

    Attributes:
      program: of the trial, with the diagnostics.
      trace: "loss" and the curves of the diagnostics: Series with the steps of the
        window.
      num_compared: the points of the recorded loss that were compared.
      num_equal: those of them with the same bits; in another environment those within a
        relative tolerance of 1e-3.
      changes: what differs from the environment of the record, in words.
    """

    program: Program
    trace: dict[str, Series]
    num_compared: int
    num_equal: int
    changes: list[str]


def recorded(folder: str | Path, trial: int | str | None) -> Recorded:
    """Reads a trial of a finished run or sweep.

    Raises:
        Refusal: no such record or trial, a lesson, or a trial whose settings this
            version of gradjax reads in another way.
    """
    path = as_folder(folder)
    if opening.kind_of(path) != "trials":
        raise Refusal(f"{path}: is a lesson, which has no trials to compute again")
    store = opening.open_to_read(path, say=warnings.warn)
    plan, chosen = extension.current_plan(path), chosen_trial(path, store, trial)
    base = _settings(plan)
    for event in stored.events(store):
        if "round" in event and chosen in event["ids"]:
            row = event["trials"][event["ids"].index(chosen)]
            made = points.trial(base, row["point"], row["seed"])
            if made.id == chosen:
                loss = reading.trace_of(store, chosen)["loss"]
                return Recorded(plan, made, loss)
    raise Refusal(
        f"{path}: this version of gradjax does not read the settings of trial {chosen}"
        " as they were read when it was trained"
    )


def replay(
    what: Experiment,
    found: Recorded,
    steps: Steps,
    diagnostics: Any,
    say: Callable[[str], None] = lambda _: None,
) -> Replay:
    """Trains a trial again up to a window, and measures each step of the window.

    Args:
      what: the experiment of the record.
      found: from `recorded`.
      steps: the first and the last step of the window, as curves count them.
      diagnostics: as `gradjax.program` takes them. One without an interval is measured
        at every step of the window.
      say: gets a line with the time that it will take.

    Raises:
        Refusal: a window outside of the run, a diagnostic that it cannot have, or
            initial parameters that are no longer there.
    """
    program = _program(what, found)
    first, last = _checked(program.plan, steps)
    length = last - first + 1
    chosen = [
        one._replace(window=(first - 1, last))
        for one in read_diagnostics(diagnostics, length, every=1)
    ]
    program = with_diagnostics(program, chosen)
    made = lanes.lanes(program, _width(found, program), 1, with_train=True)
    say(_time(made, last))
    losses, trace = _trained(made, found.trial, last)
    window = slice(first - 1, last)
    shown = {"loss": Series(np.arange(first, last + 1), losses[window]), **trace}
    before = found.plan["environment"]
    named = named_modules([found.plan["settings"], found.trial.point])
    changes = _changes(before, records.environment(named))
    counts = _compared(found.loss, losses, is_exact=not changes)
    return Replay(program, shown, *counts, changes)


def use_threads(found: Recorded) -> None:
    """Starts the backend with the threads of the record, on which bits may depend."""
    if (threads := found.plan.get("num_threads")) is not None:
        devices.use(threads)


def _settings(plan: dict[str, Any]) -> Settings:
    """Returns the settings of a record's plan."""
    known = dict(plan["settings"])
    own = tuple(known.pop("own").items())
    fields = {name: known[name] for name in Settings._fields if name in known}
    return Settings(**fields, own=own)


def _program(what: Experiment, found: Recorded) -> Program:
    """Makes the program of a trial, as the command made it."""
    settings = experiments.with_schedule(what, found.trial.settings)
    settings = settings._replace(diagnostics=None)
    problem = experiments.maker(what)(settings)
    program = experiments.program_of(what, problem, settings)
    if settings.init_from is None:
        return program
    initial = read_initial(found.plan["init_from"])
    if initial.digest != settings.init_from:
        source = found.plan["init_from"]
        raise Refusal(f"{source}: holds other parameters than when the run started")
    return started(program, initial)


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


def _time(made: Lanes, last: int) -> str:
    plan = made.program.plan
    seconds = lanes.estimated_seconds(made, made.width) * last / plan.num_steps
    return f"takes the steps 1 to {last:,} again, in about {max(1, round(seconds)):,} s"


def _trained(
    made: Lanes, one: Trial, last: int
) -> tuple[np.ndarray, dict[str, Series]]:
    """Trains a trial up to a step; returns all losses and the curves of diagnostics."""
    plan = made.program.plan
    end = -(-last // plan.block_steps)  # the block of the last step
    numbers, seeds = [one.numbers] * made.width, [one.seed] * made.width
    active = batches.start(made, numbers, seeds, trace_every=1)
    for blocks in batches.segments(made, (end,)):
        active = batches.advance(made, active, blocks)
        if sum(blocks) >= end or not len(active.rows):
            break
    results, trace = active.results, {}
    for k, curves in enumerate(results.measured):
        steps = measured_steps(plan, k)
        trace |= {name: Series(steps, rows[0]) for name, rows in curves.items()}
    done = min(end * plan.block_steps, plan.num_steps)
    return results.trace["loss"][0, :done], trace


def _compared(recorded: Series, losses: np.ndarray, is_exact: bool) -> tuple[int, int]:
    """Compares losses with the recorded means over windows: (points, equal points)."""
    ends = np.asarray(recorded.steps)
    ends = ends[ends <= len(losses)]
    if not len(ends):
        return 0, 0
    starts = np.concatenate([[0], ends[:-1]])
    means = traces.window_means(losses[None, : ends[-1]], starts, ends)[0]
    there = np.asarray(recorded.values)[: len(ends)]
    if is_exact:
        return len(ends), int((means == there).sum())
    return len(ends), int(np.isclose(means, there, rtol=_RTOL, atol=1e-6).sum())


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Returns what differs and may change the last bits, in words."""
    names = ("python", "backend", "device")
    pairs = [(name, before.get(name), now.get(name)) for name in names]
    old, new = before.get("versions", {}), now.get("versions", {})
    pairs += [(name, old[name], new.get(name)) for name in old]
    old, new = before.get("sources", {}), now.get("sources", {})
    pairs += [
        (f"the source {name}", old[name], new[name]) for name in old if name in new
    ]
    return [f"{name} {a} there, {b} here" for name, a, b in pairs if a != b]
