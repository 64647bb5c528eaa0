"""Checks and plans a command, before anything is compiled or written."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gradjax import records, search
from gradjax.commands import devices, experiment
from gradjax.commands.experiment import Experiment
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors
from gradjax.records import inspection, sources
from gradjax.records.plan import read_plan
from gradjax.sweeps import names, points, rounds, space
from gradjax.sweeps.points import Trial
from gradjax.training.numbers import checked_hparams
from gradjax.trials import cores, lane_width
from gradjax.trials import lanes as lanes_of
from gradjax.trials.lanes import Lanes
from gradjax.types import Options, Problem, Program, Search, Settings, Space, Sweep

_KEEP_PARAMS = ("best", "all", "none")
# Entries of the plan that do not change the results of a trial; the digest in the name
# of the folder leaves them out.
_DECIDES_NOTHING = ("environment", "keep_params")


class Job(NamedTuple):
    """A command that has been checked and planned."""

    experiment: Experiment
    settings: Settings  # the base of every trial
    asked: Sweep
    space: Space  # without dimensions for a run
    method: Search
    problem: Problem  # of the base settings
    program: Program  # of the first trial
    lanes: Callable[[Settings], Lanes]  # of the settings of a group; made once
    plan: dict[str, Any]
    folder: Path
    notes: list[str]  # what was understood of files, and chosen for the data


def job_of(
    what: Experiment,
    settings: Settings,
    asked: Sweep,
    options: Options,
    may_restart: bool,
) -> Job:
    """Checks a command and plans it.

    Args and Raises: see `commands.train.train`.
    """
    if asked.sweep and asked.space:
        raise Refusal("--sweep and --space are both given; give one")
    varied = space.from_json(asked.space) if asked.space else space.parse(asked.sweep)
    own = tuple(name for name, _ in settings.own)
    varied = names.checked(varied, settings.optimizer, own)
    method = search.in_turn(search.make(asked.search), names.of_each(varied))
    _check_counts(asked, varied)
    experiment.check(settings)
    num_devices = _num_devices(asked, varied, settings)
    settings = experiment.with_duration(what, what.resolve(settings))
    make = experiment.maker(what)
    problem = make(settings)
    notes = experiment.notes(what, problem, settings)
    is_varied = "batch_size" in {one.name for one in varied.dimensions}
    is_fitted = settings.batch_size is None and not is_varied
    settings = experiment.with_batch_size(what, problem, settings)

    @functools.cache
    def program(group: Settings) -> Program:
        own = group._replace(batch_size=None) if is_fitted else group
        return experiment.program_of(what, make(group), own)

    groups = points.group(_first_trials(settings, asked, varied, method)).values()
    for group in groups:
        for one in group:
            checked_hparams(program(one.settings), one.numbers)
    programs = [program(group[0].settings) for group in groups]
    plan = _plan(what, settings, asked, varied, problem)
    folder = _folder(what, settings, options, varied, plan)
    known = {} if options.overwrite else _known(folder)
    threads = _threads(asked, known, programs, may_restart)
    num_devices = _num_used(asked, num_devices, threads, programs)
    plan["num_threads"] = _start_backend(threads, num_devices, may_restart)
    num_trials = max(map(len, groups))
    plan["lane_width"] = _widths(asked, varied, known, num_trials, num_devices)

    @functools.cache
    def lanes(group: Settings) -> Lanes:
        width, made = plan["lane_width"], program(group)
        if not isinstance(width, int):
            width = lane_width.default_width(made, tuple(map(tuple, width)))
        is_run = not varied.dimensions
        return lanes_of.lanes(made, width, num_devices, with_train=is_run)

    return Job(
        what,
        settings,
        asked,
        varied,
        method,
        problem,
        programs[0],
        lanes,
        plan,
        folder,
        notes,
    )


def name_of(settings: Settings) -> str:
    """Returns the name of the problem: its expression, or data set and model."""
    own = dict(settings.own)
    if "problem" in own:
        return own["problem"]
    dataset = str(own.get("dataset", ""))
    if dataset.startswith(("/", ".", "~")):  # a path is named by its last part
        dataset = Path(dataset).expanduser().absolute().name
    return f"{dataset}_{own['model']}" if own.get("model") else dataset


def _check_counts(asked: Sweep, varied: Space) -> None:
    """Refuses impossible numbers of trials, seeds, rungs, devices and threads."""
    if asked.keep_params not in _KEEP_PARAMS:
        said = f"--keep_params={asked.keep_params}"
        raise Refusal(f"{said}: expected {', '.join(_KEEP_PARAMS)}")
    is_grid = asked.search.startswith("grid")
    if asked.trials is None and not is_grid and varied.dimensions:
        raise Refusal(f"--search={asked.search}: say how many with --trials=N")
    for name, value, low in (
        ("trials", asked.trials, 1),
        ("fresh_seeds", asked.fresh_seeds, 0),
        ("halving", asked.halving, 2),
        ("lane_width", asked.lane_width, 1),
        ("num_devices", asked.num_devices, 1),
        ("num_threads", asked.num_threads, 1),
    ):
        if value is not None and not low <= value < 2**31:
            raise Refusal(f"--{name}={value}: must be at least {low}")


def _first_trials(
    base: Settings, asked: Sweep, varied: Space, method: Search
) -> list[Trial]:
    """Makes the trials of the first round."""
    count = rounds.ROUND if rounds.learns(asked) else asked.trials or rounds.MAX_POINTS
    _, found = method.ask(method.init(varied, base.seed), count)
    return rounds.trials_of(base, found, range(base.seed, base.seed + base.seeds))


def _num_devices(asked: Sweep, varied: Space, settings: Settings) -> int:
    """Returns how many devices the trials can use; a run uses at most one per seed."""
    if asked.num_devices is not None:
        return asked.num_devices
    available = cores.num_devices()
    return available if varied.dimensions else min(available, settings.seeds)


def _known(folder: Path) -> dict[str, Any]:
    """Returns the plan of an existing record; an empty one if there is none."""
    with named_disk_errors(folder):
        return {} if inspection.is_empty(folder) else read_plan(folder)


def _threads(
    asked: Sweep, known: dict[str, Any], programs: list[Program], may_restart: bool
) -> int | None:
    """Returns the number of threads: as asked for, as in the record, or by the rule.

    An existing record decides before the rule, so that a resumed run has the same bits.
    """
    if not cores.is_cpu():
        return None
    if chosen := asked.num_threads or known.get("num_threads"):
        return chosen
    if not may_restart:
        return devices.num_threads()
    return max(map(devices.threads_for, programs))


def _num_used(
    asked: Sweep, num_devices: int, threads: int | None, programs: list[Program]
) -> int:
    """Returns the number of devices that can be used with this number of threads.

    Calls that run at the same time need a thread each. With more threads than the plan
    states, the last bits of a large network could differ from those of one call alone.
    """
    if threads is None or threads >= num_devices:
        return num_devices
    if all(map(devices.is_small, programs)):
        return num_devices
    if asked.num_devices is not None:
        raise Refusal(
            f"--num_devices={num_devices}: with --num_threads={threads} at most"
            f" {threads}, because the results of a network of this size depend on the"
            " number of threads"
        )
    return threads


def _start_backend(
    threads: int | None, num_devices: int, may_restart: bool
) -> int | None:
    """Starts the backend with this number of threads; returns that of the plan."""
    if threads is None:
        return None
    if may_restart:
        devices.use(max(threads, num_devices))
        return threads
    return devices.num_threads()


def _widths(
    asked: Sweep,
    varied: Space,
    known: dict[str, Any],
    num_trials: int,
    num_devices: int,
) -> Any:
    """Returns the lane width or its rule: as asked for, as in the record, or usual."""
    if asked.lane_width is not None:
        return asked.lane_width
    if known:
        return known.get("lane_width", 1)
    if not varied.dimensions:
        return 1
    rule = lane_width.default_widths()
    return lane_width.cap(rule, num_trials, num_devices)


def _plan(
    what: Experiment, base: Settings, asked: Sweep, varied: Space, problem: Problem
) -> dict[str, Any]:
    """Returns what determines the bits of every trial, without the number of trials."""
    modules = set(map(sources.module_of, (what.problem, what.resolve)))
    named = sources.named_modules([base._asdict(), varied])
    environment = records.environment(modules | named)
    del environment["num_devices"]  # decides nothing
    own = {name: value for name, value in base.own if name != "data_dir"}
    return {
        "kind": "trials",
        "settings": base._replace(seeds=1)._asdict() | {"own": own},
        "space": names.record(varied),
        "search": asked.search,
        "halving": asked.halving,
        "keep_params": asked.keep_params,
        "data": problem.about,
        "environment": environment,
    }


def _folder(
    what: Experiment,
    settings: Settings,
    options: Options,
    varied: Space,
    plan: dict[str, Any],
) -> Path:
    """Returns --workdir, or a default with a digest of what determines the results."""
    if options.workdir is not None:
        return records.checked_path(options.workdir)
    deciding = {k: v for k, v in plan.items() if k not in _DECIDES_NOTHING}
    words = [one.name for one in varied.dimensions]
    words = ["sweep", *words] if words else _words(settings)
    digest = points.digest(deciding)
    return Path.cwd() / records.default_path(what.name, digest, words)


def _words(settings: Settings) -> list[str]:
    """Returns the readable parts of the name of a run's folder."""
    rate = settings.learning_rate
    said = [] if rate is None else [f"lr{rate:g}".replace("+", "")]
    shape = [] if settings.schedule == "constant" else [settings.schedule]
    seed = f"seed{settings.seed}"
    return [name_of(settings), settings.optimizer, *said, *shape, seed]
