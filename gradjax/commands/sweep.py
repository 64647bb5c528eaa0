"""From settings and a space to a finished sweep's folder: what --sweep does.

The plan is written first and never changes. Each round of trials is appended to the
journal before it runs: a pure function of the plan and of what is committed. So the
same command goes on after any kill, and with more trials or seeds it runs the new.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradjax import records, search
from gradjax.commands import signals, train
from gradjax.errors import Refusal
from gradjax.records import store as kept_in
from gradjax.records.inspection import environments
from gradjax.records.plan import PLAN, read_plan
from gradjax.report import sweep as report
from gradjax.report import terminal
from gradjax.sweeps import points, rounds, space
from gradjax.sweeps.points import RATE, Trial
from gradjax.sweeps.rounds import Sweeping
from gradjax.training.numbers import checked_hparams
from gradjax.trials import lane_width as widths_of
from gradjax.trials import lanes as lanes_of
from gradjax.trials.batches import Lanes
from gradjax.types import Options, Problem, Search, Settings, Space, Sweep

State = Callable[[Settings, Options], tuple[Problem, Settings, dict[str, Any] | None]]


def run(state: State, base: Settings, asked: Sweep, options: Options) -> dict[str, Any]:
    """Searches, runs the best on fresh seeds, reports.

    Args:
      state: (settings, options) -> (problem, settings, what the record says of data).
      base: of the command; a point replaces parts of it.
      asked: the space, the search, how many.
      options: where to keep it.

    Returns:
      The summary.

    Raises:
        Refusal: bad input before anything is compiled or written; another sweep in the
            folder; a full disk.
        Interrupted: a signal asked for a stop, and the stretch is finished and kept.
    """
    varied, method = _space(asked), search.make(asked.search)
    points.check_names(varied, tuple(name for name, _ in base.own))
    _check_counts(asked)
    train.check(base)
    problem, stated, about_data = state(base, options)
    # A rate that was not asked for is usual for one optimizer, not for all of them.
    base = stated._replace(learning_rate=base.learning_rate)
    folder = train.chosen_folder(base, options, "sweep", *_words(varied))
    made = _first_trials(base, asked, varied, method)
    widths = _widths(folder, asked, made)
    lanes = functools.cache(functools.partial(_lanes, state, options, asked, widths))
    for own in points.grouped(made).values():
        program = lanes(own[0].settings).program
        for one in own:
            checked_hparams(program, one.numbers)
    if options.workdir is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
    store = kept_in.create_or_open(
        folder,
        _plan(base, asked, varied, widths, about_data),
        say=terminal.say,
        accept_changes=asked.accept_changes,
    )
    try:
        with signals.heard() as stop_requested:
            sweeping = Sweeping(
                base,
                asked,
                varied,
                store,
                lanes,
                functools.partial(_announce, lanes),
                _estimate,
                report.progress,
                stop_requested,
            )
            return _ran(sweeping, method, folder, problem, options)
    finally:
        kept_in.close(store)


def _ran(
    sweeping: Sweeping,
    method: Search,
    folder: Path,
    problem: Problem,
    options: Options,
) -> dict[str, Any]:
    done = rounds.searched(sweeping, method)
    fresh = rounds.fresh(sweeping, done)
    changes = len(environments(kept_in.events(sweeping.store)))
    return report.show(folder, done, fresh, problem.target, changes, options.plot)


def _space(asked: Sweep) -> Space:
    if asked.sweep and asked.space:
        raise Refusal("--sweep and --space are both given; give one")
    return space.from_json(asked.space) if asked.space else space.parse(asked.sweep)


def _check_counts(asked: Sweep) -> None:
    if asked.trials is None and not asked.search.startswith("grid"):
        raise Refusal(f"--search={asked.search}: say how many with --trials=N")
    for name, value, low in (
        ("trials", asked.trials, 1),
        ("fresh_seeds", asked.fresh_seeds, 0),
        ("halving", asked.halving, 2),
    ):
        if value is not None and value < low:
            raise Refusal(f"--{name}={value}: must be at least {low}")


def _first_trials(
    base: Settings, asked: Sweep, varied: Space, method: Search
) -> list[Trial]:
    """Those of the first round, to look at before anything is written or compiled."""
    count = rounds.ROUND if rounds.learns(asked) else asked.trials or rounds.MAX_POINTS
    _, found = method.ask(method.init(varied, base.seed), count)
    return rounds.trials_of(base, found, range(base.seed, base.seed + base.seeds))


def _widths(folder: Path, asked: Sweep, made: list[Trial]) -> int | widths_of.Widths:
    """How wide programs are: chosen once, then as the plan that is there has it."""
    if asked.width is not None:
        return asked.width
    if (folder / PLAN).is_file():
        there = read_plan(folder)["width"]
        return there if isinstance(there, int) else tuple(map(tuple, there))
    largest = max((len(own) for own in points.grouped(made).values()), default=1)
    return widths_of.capped(widths_of.usual_widths(), largest, asked.num_devices)


def _words(varied: Space) -> list[str]:
    return [one.name for one in varied.dimensions]


def _plan(
    base: Settings,
    asked: Sweep,
    varied: Space,
    widths: Any,
    about_data: dict[str, Any] | None,
) -> dict[str, Any]:
    """What decides the bits of every trial, but for how many there are."""
    environment = records.environment()
    del environment["num_devices"]  # decides nothing
    return {
        "settings": base._replace(seeds=1)._asdict(),
        "space": [one._asdict() for one in varied.dimensions],
        "search": asked.search,
        "halving": asked.halving,
        "width": widths,
        "data": about_data,
        "environment": environment,
    }


def _lanes(
    state: State,
    options: Options,
    asked: Sweep,
    widths: int | widths_of.Widths,
    settings: Settings,
) -> Lanes:
    """The program of a group, over lanes."""
    problem, settings, _ = state(settings, options)
    program, _ = train.stated_program(problem, settings)
    if settings.learning_rate is not None and RATE in program.hparams:
        usual = {**program.hparams, RATE: settings.learning_rate}
        program = program._replace(hparams=usual)
    width = (
        widths if isinstance(widths, int) else widths_of.usual_width(program, widths)
    )
    return lanes_of.lanes(program, width, asked.num_devices, settings.trace_every)


def _announce(
    lanes: Callable[[Settings], Lanes], label: str, groups: rounds.Groups
) -> None:
    """So many trials are so many programs and so many batches."""
    counts = [
        lanes_of.num_batches(lanes(own[0].settings), len(own))
        for own in groups.values()
    ]
    num_trials = sum(len(own) for own in groups.values())
    programs = "1 program" if len(groups) == 1 else f"{len(groups)} programs"
    is_even = len(set(counts)) == 1
    batches = f"x {counts[0]:,}" if is_even else f"and {sum(counts):,}"
    plural = "batch" if counts[-1:] == [1] and is_even else "batches"
    terminal.say(f"{label}: {num_trials:,} trials = {programs} {batches} {plural}")


def _estimate(lanes: Lanes, num_trials: int, settings: Settings) -> None:
    """What the trials of a group will take, once their program is compiled."""
    ready, batches = lanes.ready(), lanes_of.num_batches(lanes, num_trials)
    megabytes = ready.in_flight * ready.batch_bytes / 1e6
    said = f"{batches:,} batches of {lanes.width}, {ready.in_flight} at once"
    seconds = lanes_of.estimated_seconds(lanes, num_trials)
    terminal.say(
        f"{settings.optimizer}, {settings.schedule}: {said}, in {megabytes:,.0f} MB;"
        f" compiled in {ready.compile_s:.1f} s, about {_rounded(seconds)} s to run"
    )


def _rounded(seconds: float) -> str:
    """Two digits: it is an estimate."""
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:,.0f}"
