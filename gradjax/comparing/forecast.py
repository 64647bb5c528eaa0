"""What is printed before a comparison runs: its size, its power, its time."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis import family
from gradjax.analysis.power import seeds_needed, smallest_effect
from gradjax.comparing import sharing, spaces
from gradjax.comparing.asked import Asked
from gradjax.comparing.cells import Cell, gradients
from gradjax.comparing.stored import Stored
from gradjax.records import opening, reading
from gradjax.report.terminal import duration, join_words
from gradjax.sweeps import names, points
from gradjax.sweeps.points import Trial
from gradjax.sweeps.rounds import trials_of
from gradjax.training.blocks import num_blocks
from gradjax.trials import batches
from gradjax.trials import lanes as lanes_of
from gradjax.trials.lanes import Lanes
from gradjax.trials.timing import AT_LEAST_S as TIMED_S
from gradjax.tuning.planned import Prepared

_LEVEL, _POWER = 0.05, 0.8
# A measurement that is shorter than this is repeated, at most so often.
_ENOUGH_S, _MOST_TIMES = 0.5, 4
_RECORD_S = 0.2  # of writing and reading the record of a cell, beside its calls


class Left(NamedTuple):
    """What a cell still has to train."""

    num_trials: int
    num_seeds: int
    is_timed: bool = True  # whether its gradients are timed after the training
    part: float = 1.0  # of a run that is computed; the rest is a trunk of a shorter one
    part_of_seeds: float = 1.0  # likewise, of the fresh seeds

    @property
    def num_runs(self) -> int:
        """All of them."""
        return self.num_trials + self.num_seeds


def size_lines(asked: Asked, cells: list[Cell]) -> list[str]:
    """Returns what is compared: trials, gradients, spaces."""
    num_problems = len({cell.label for cell in cells})
    tuned = [name for name, one in asked.spaces.items() if one.dimensions]
    fixed = [name for name in asked.optimizers if name not in tuned]
    num_trials = sum(cell.num_trials for cell in cells)
    num_seeds = sum(cell.num_seeds for cell in cells)
    num_programs = len({(cell.label, cell.optimizer) for cell in cells})
    repeated = f", tuned {asked.studies} times" if asked.studies > 1 else ""
    lines = [
        f"{len(asked.optimizers)} optimizers on {num_problems} problems{repeated}:"
        f" {num_programs} programs, {num_trials:,} trials and {num_seeds:,} fresh"
        f" seeds, {sum(map(gradients, cells)):,} gradients",
        f"schedule {asked.schedule}, search {asked.search} with the same"
        f" {asked.num_trials} points of the unit cube for spaces of the same"
        " dimension, budgets equal in gradients",
    ]
    lines += sharing.lines(cells)
    lines += [f"  {name}: {spaces.shown(asked.spaces[name])}" for name in tuned]
    lines += [f"  {name}: nothing to tune" for name in fixed]
    constant = [x for x in asked.optimizers if not names.follows_schedule(x)]
    if constant and asked.schedule != "constant":
        lines.append(f"no learning rate, so no schedule: {join_words(constant)}")
    counts = {cell.optimizer: cell.gradients_per_step for cell in cells}
    several = [
        f"{name} {count or 'as many as it needs'}"
        for name, count in counts.items()
        if count != 1
    ]
    if several:
        lines.append(f"gradients per step: {join_words(several)}, the others 1")
    return lines


def power_line(asked: Asked) -> str:
    """Returns which differences the fresh seeds, and the studies, can show."""
    count = len(asked.optimizers)
    num_pairs = family.size(count, asked.pairs)
    tested = f"each of {num_pairs} against {asked.baseline}"
    if asked.pairs == "all":
        tested = f"each of the {num_pairs} pairs of {count} optimizers"
    level = _LEVEL / num_pairs
    effect = smallest_effect(asked.num_seeds, level, _POWER)
    needed = seeds_needed(1.0, level, _POWER)
    return (
        f"{tested}: with {asked.num_seeds} seeds a difference of {effect:.2g} standard"
        f" deviations of the paired differences is found with probability {_POWER:g}"
        f" (level {level:.2g}, Holm's first step); 1 standard deviation needs {needed}"
        f" seeds{_power_of_studies(asked, level, needed)}"
    )


def _power_of_studies(asked: Asked, level: float, needed: int | None) -> str:
    """Returns which differences of two optimizers the studies can show; "" of one."""
    if asked.studies == 1:
        return ""
    effect = smallest_effect(asked.studies, level, _POWER)
    return (
        f". The verdict on the optimizers, over {asked.studies} independent tunings,"
        f" finds {effect:.2g} standard deviations of the paired differences of their"
        f" means with the same probability; 1 standard deviation needs {needed} tunings"
    )


def left_of(one: Stored, overwrite: bool) -> Left:
    """Returns how many trials and fresh seeds of a cell are not stored yet."""
    cell, is_timed = one.cell, not one.cell.study
    if one.summary is not None:
        return Left(0, 0)
    parts = sharing.parts(one)
    if not one.known or (overwrite and one.is_other):
        return Left(cell.num_trials, cell.num_seeds, is_timed, *parts)
    store = opening.open_to_read(one.folder, say=lambda _: None)
    rows = [r for r in reading.rows(store).values() if r["status"] in reading.ENDED]
    num_tried = sum(row["round"] == "search" for row in rows)
    wanted = cell.seeds
    seeds = {row["seed"] for row in rows if row["round"] != "search"}
    num_fresh = sum(seed in seeds for seed in wanted)
    num_trials = max(0, cell.num_trials - num_tried)
    return Left(num_trials, cell.num_seeds - num_fresh, is_timed, *parts)


def later_line(
    cells: list[Cell], known: list[Cell], left: list[Left], estimated: list[float]
) -> str:
    """Returns how long the cells without a known setting will take; "": there are none.

    A run of another length takes as much longer as it has more gradients.
    """
    later = [cell for cell in cells if cell.chosen_at and cell.setting is None]
    pace = {
        cell.key: seconds / one.num_runs / cell.num_gradients
        for cell, one, seconds in zip(known, left, estimated, strict=True)
        if one.num_runs
    }
    each = [
        pace.get((cell.chosen_at, *cell.key[1:]), 0.0) * gradients(cell)
        for cell in later
    ]
    if not later:
        return ""
    num_seeds = sum(cell.num_seeds for cell in later)
    took = f"about {duration(sum(each))}" if all(each) else "a time that follows"
    return (
        f"then {num_seeds:,} fresh seeds of the same settings at the other horizons:"
        f" {took}"
    )


class Cost(NamedTuple):
    """What a cell will take."""

    run_s: float
    compile_s: float
    bytes: int  # of memory


def measured(made: Prepared, left: Left) -> Cost:
    """Measures how long a cell will take, up to the first evaluation of some trials.

    The program is compiled, and stays so for the training. Nothing is stored.
    """
    base, varied = made.work.settings, made.space
    num_tried = max(1, left.num_trials) if varied.dimensions else 1
    _, tried = made.method.ask(made.method.init(varied, base.seed), num_tried)
    num_seeds = 1 if varied.dimensions else max(1, left.num_seeds)
    seeds = range(base.seed, base.seed + num_seeds)
    groups = points.group(trials_of(base, tried, seeds)).values()
    found = [_measured_group(made.lanes, own, left, len(groups)) for own in groups]
    return Cost(
        _RECORD_S + sum(one.run_s for one in found),
        max(one.compile_s for one in found),
        max(one.bytes for one in found),
    )


def _measured_group(
    lanes_of_group: Any, own: list[Trial], left: Left, num_groups: int
) -> Cost:
    lanes = lanes_of_group(own[0].settings)
    ready, plan = lanes.ready(), lanes.program.plan
    own = own[: lanes.width * ready.in_flight]
    count = min(-(-plan.eval_every // plan.block_steps), lanes.form.capacity)
    times, share = [], 0.0
    with lanes_of.reading(lanes):
        while len(times) < _MOST_TIMES and sum(times) < _ENOUGH_S:
            seconds, share = _first_blocks(lanes, own, count)
            times.append(seconds)
    took = min(times[0], float(np.median(times[1:] or times)))  # the first is slower
    run_s = took / share * _turns(lanes, left, num_groups)
    return Cost(run_s, ready.compile_s, ready.bytes * ready.in_flight)


def _first_blocks(lanes: Lanes, own: list[Trial], count: int) -> tuple[float, float]:
    """Returns the seconds of the first blocks of some trials, and their part of all."""
    plan = lanes.program.plan
    active = batches.start(lanes, [x.numbers for x in own], [x.seed for x in own], 0)
    started = time.perf_counter()
    batches.advance(lanes, active, (0, count))
    seconds = time.perf_counter() - started
    if plan.max_gradients is None:
        return seconds, count / num_blocks(plan)
    spent = float(active.results.num_gradients.mean())
    return seconds, min(1.0, max(1.0, spent) / plan.max_gradients)


def _turns(lanes: Lanes, left: Left, num_groups: int) -> float:
    """Returns how often all devices are used for as long as a complete run takes."""
    turns = [
        -(-lanes_of.num_calls(lanes, count) // lanes.ready().in_flight) * part
        for count, part in (
            (-(-left.num_trials // num_groups), left.part),
            (left.num_seeds, left.part_of_seeds),
        )
        if count
    ]
    return sum(turns, 0.0)


def announce(
    made: list[Callable[[], Prepared]],
    left: list[Left],
    say: Callable[[str], None],
    pause: Callable[[str], None],
) -> list[float]:
    """Compiles and times the programs that have something left; says how long it takes.

    Args:
      made: of each cell, a function that makes its programs.
      left: of each cell, what is left.
      say: is called with each line.
      pause: is called with what was done, and may end the comparison.

    Returns:
      The estimated seconds of each cell with its timing, 0 where nothing is left.
    """
    num_runs = sum(one.num_runs for one in left)
    if not num_runs:
        say("everything is stored already")
        return [0.0] * len(left)
    compiled = {
        make().lanes for make, one in zip(made, left, strict=True) if one.num_runs
    }
    say(f"compiling {len(compiled)} programs, and timing the first steps of each")
    found = []
    for make, one in zip(made, left, strict=True):
        found.append(measured(make(), one) if one.num_runs else Cost(0.0, 0.0, 0))
        pause("compiling")
    megabytes = max(1, *(one.bytes / 1e6 for one in found))
    run_s = sum(one.run_s for one in found)
    timing_s = [
        cost.compile_s + TIMED_S if cost.run_s and one.is_timed else 0.0
        for cost, one in zip(found, left, strict=True)
    ]
    say(
        f"{num_runs:,} trials and fresh seeds are left: about {duration(run_s)} to run,"
        f" in up to {megabytes:,.0f} MB, and about {duration(sum(timing_s))} to time"
        " the gradients"
    )
    return [one.run_s + more for one, more in zip(found, timing_s, strict=True)]
