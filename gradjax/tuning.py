"""From settings and a space to a finished sweep's folder: what --sweep does.

The plan is written first and never changes. Each round of trials is appended to the
journal before it runs: a pure function of the plan and of what is committed. So the
same command goes on after any kill, and with more trials or seeds it runs the new.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from gradjax import launch, records, search, training, trials
from gradjax.errors import Refusal
from gradjax.records import store as kept_in
from gradjax.report import sweep as report
from gradjax.report import terminal
from gradjax.sweeps import choose, points, space
from gradjax.sweeps.choose import Done
from gradjax.sweeps.execute import run_group
from gradjax.sweeps.points import Trial
from gradjax.types import (
    Options,
    Point,
    Problem,
    Program,
    Search,
    Settings,
    Space,
    Sweep,
)

FRESH_SEED = 2**31  # the first of those that no search uses
MAX_POINTS = 100_000  # of a grid
_ROUND = 16  # points of a search that learns, before it is told
State = Callable[[Settings, Options], tuple[Problem, Settings, dict[str, Any] | None]]


class Sweeping(NamedTuple):
    """What stays the same throughout one sweep."""

    state: State
    base: Settings
    options: Options
    asked: Sweep
    space: Space
    store: Any
    programs: dict[str, tuple[Program, trials.Lanes]]  # by group, made once


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
    """
    varied, method = _space(asked), search.make(asked.search)
    _check_counts(asked)
    launch.check(base)
    problem, base, about_data = state(base, options)
    sweeping = Sweeping(state, base, options, asked, varied, None, {})
    _check_trials(sweeping, method)
    folder = launch.chosen_folder(base, options, "sweep", *_words(varied))
    if options.workdir is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
    plan = _plan(base, asked, varied, about_data)
    store = kept_in.create_or_open(folder, plan, say=terminal.say)
    try:
        sweeping = sweeping._replace(store=store)
        done = _searched(sweeping, method)
        fresh = _fresh(sweeping, done)
        return report.show(folder, done, fresh, problem.target, options.plot)
    finally:
        kept_in.close(store)


def _space(asked: Sweep) -> Space:
    if asked.sweep and asked.space:
        raise Refusal("--sweep and --space are both given; give one")
    varied = space.from_json(asked.space) if asked.space else space.parse(asked.sweep)
    points.check_names(varied)
    return varied


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


def _check_trials(sweeping: Sweeping, method: Search) -> None:
    """Refuses what no trial could be, before anything is written or compiled."""
    base, asked = sweeping.base, sweeping.asked
    count = _ROUND if _learns(asked) else asked.trials or MAX_POINTS
    _, found = method.ask(method.init(sweeping.space, base.seed), count)
    made = _trials(base, found, range(base.seed, base.seed + 1))
    for group, own in points.grouped(made).items():
        program, _ = _program(sweeping, group, own[0].settings)
        for one in own:
            training.checked_hparams(program, one.numbers)


def _words(varied: Space) -> list[str]:
    return [one.name for one in varied.dimensions]


def _plan(
    base: Settings, asked: Sweep, varied: Space, about_data: dict[str, Any] | None
) -> dict[str, Any]:
    """What decides the bits of every trial, but for how many there are."""
    environment = records.environment()
    del environment["num_devices"]  # decides nothing
    return {
        "settings": base._replace(seeds=1)._asdict(),
        "space": [one._asdict() for one in varied.dimensions],
        "search": asked.search,
        "halving": asked.halving,
        "width": asked.width,
        "data": about_data,
        "environment": environment,
    }


def _searched(sweeping: Sweeping, method: Search) -> list[Done]:
    """All points that the search gives, in rounds where it learns from them."""
    base, asked = sweeping.base, sweeping.asked
    state, is_adaptive = method.init(sweeping.space, base.seed), _learns(asked)
    wanted = MAX_POINTS if asked.trials is None else asked.trials
    done: list[Done] = []
    while wanted > 0:
        state, found = method.ask(state, min(wanted, _ROUND) if is_adaptive else wanted)
        if not found:
            break
        made = _trials(base, found, range(base.seed, base.seed + base.seeds))
        ran = _round(sweeping, "search", made)
        done, wanted = [*done, *ran], wanted - len(found)
        settings = choose.scored([row for one in ran for row in one.rows])
        state = method.tell(state, [(one.point, one.score) for one in settings])
    return done


def _fresh(sweeping: Sweeping, done: list[Done]) -> list[Done]:
    """The best setting of each optimizer, on seeds that chose nothing."""
    settings = choose.scored([row for one in done for row in one.rows])
    winners = [choose.best(own) for own in choose.by_optimizer(settings).values()]
    found = [winner.point for winner in winners if winner is not None]
    seeds = range(FRESH_SEED, FRESH_SEED + sweeping.asked.fresh_seeds)
    made = _trials(sweeping.base, found, seeds)
    return _round(sweeping, "fresh", made) if made else []


def _trials(base: Settings, found: list[Point], seeds: range) -> list[Trial]:
    made = [points.trial(base, point, seed) for point in found for seed in seeds]
    return list({one.id: one for one in made}.values())


def _round(sweeping: Sweeping, name: str, made: list[Trial]) -> list[Done]:
    """Runs trials that are new, and reads those that are not.

    What is new is appended to the journal as one list before any of it runs.
    """
    store = sweeping.store
    known = {id for event in _rounds(store, name) for id in event["ids"]}
    new = [one for one in made if one.id not in known]
    if new:
        number = len(_rounds(store, name))
        listed = [{"point": one.point, "seed": one.seed} for one in new]
        ids = [one.id for one in new]
        event = {"round": name, "number": number, "ids": ids, "trials": listed}
        kept_in.append(store, event | {"hash": points.digest(event)})
    wanted = {one.id for one in made}
    done = []
    for event in _rounds(store, name):
        if wanted & set(event["ids"]):
            again = [
                points.trial(sweeping.base, one["point"], one["seed"])
                for one in event["trials"]
            ]
            done += _ran(sweeping, f"{name}-{event['number']}", again)
    return done


def _rounds(store: Any, name: str) -> list[dict[str, Any]]:
    return [event for event in kept_in.events(store) if event.get("round") == name]


def _ran(sweeping: Sweeping, prefix: str, made: list[Trial]) -> list[Done]:
    """The groups of a round, one after the other."""
    groups = points.grouped(made)
    _announce(prefix, len(made), len(groups))
    done = []
    for group, own in groups.items():
        program, lanes = _program(sweeping, group, own[0].settings)
        target, eta = program.plan.problem.target, sweeping.asked.halving
        is_search = eta is not None and prefix.startswith("search")
        found = run_group(
            sweeping.store,
            f"{prefix}-{group}",
            lanes,
            own,
            choose.rungs(program.plan, eta) if is_search and eta else (),
            choose.halving(program.plan, eta, target)
            if is_search and eta
            else _goes_on,
            report.progress(prefix, own, target),
        )
        done.append(Done(own, found, choose.rows(own, found, target)))
    return done


def _goes_on(_going: Any, _stretch: Any) -> None:
    """Without halving nobody is stopped."""


def _program(
    sweeping: Sweeping, group: str, settings: Settings
) -> tuple[Program, trials.Lanes]:
    """The compiled program of a group, made once."""
    if group not in sweeping.programs:
        problem, settings, _ = sweeping.state(settings, sweeping.options)
        program, settings = launch.stated_program(problem, settings)
        asked = sweeping.asked
        width = trials.usual_width(program) if asked.width is None else asked.width
        lanes = trials.lanes(program, width, asked.num_devices)
        terminal.say(
            f"{settings.optimizer}, {settings.schedule}: {settings.steps:,} steps,"
            f" {width} mapped together on each of {len(lanes.devices)} devices"
        )
        sweeping.programs[group] = (program, lanes)
    return sweeping.programs[group]


def _announce(prefix: str, num_trials: int, num_programs: int) -> None:
    said = "1 program" if num_programs == 1 else f"{num_programs} programs"
    terminal.say(f"{prefix}: {num_trials:,} trials = {said}")


def _learns(asked: Sweep) -> bool:
    return asked.search.partition("(")[0] == "tpe"
