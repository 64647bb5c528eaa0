"""Checks and plans a command, before anything is compiled or written."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gradjax import records
from gradjax.commands import experiment
from gradjax.commands.experiment import Experiment
from gradjax.errors import Refusal
from gradjax.records import sources
from gradjax.records.initial import Initial, read, split, started
from gradjax.sweeps import longer, planning, points, remote, space
from gradjax.sweeps.execution import (
    Execution,
    check_devices,
    executed,
    lanes_by_group,
    of_mesh,
)
from gradjax.sweeps.longer import Longer
from gradjax.sweeps.remote import Made
from gradjax.training.program import with_mesh
from gradjax.trials.lanes import Lanes
from gradjax.types import Options, Problem, Program, Search, Settings, Space, Sweep

# Entries of the plan that do not change the results of a trial; the digest in the name
# of the folder leaves them out.
_DECIDES_NOTHING = ("environment", "init_from", "keep_params")

_PLACES = ("data_dir", "cache_bytes")  # flags of an experiment that say where data is


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
    extension: Longer | None = None  # how the run of the folder is extended
    make: Callable[[], Made] | None = None  # makes the programs on a worker


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
    varied, method = planning.searched(asked, varied, settings.optimizer, own)
    experiment.check(settings)
    check_devices(asked, varied, settings.seeds)
    initial = None if settings.init_from is None else read(settings.init_from)
    if initial is not None:
        settings = settings._replace(init_from=initial.digest)
    settings = experiment.with_duration(what, what.resolve(settings))
    make = experiment.maker(what, asked)
    problem = make(settings)
    notes = experiment.notes(what, problem, settings)
    swept = {one.name for one in varied.dimensions}
    is_fitted = settings.batch_size is None and "batch_size" not in swept
    if "optimizer" not in swept and "schedule" not in swept:
        settings = experiment.with_schedule(what, settings)
    settings = experiment.with_batch_size(what, problem, settings)

    source = _Source(what, asked, "schedule" in swept, is_fitted, initial)
    program = _programs(source, make)
    plan = _plan(what, settings, asked, varied, problem)
    if initial is not None:
        plan["init_from"] = initial.source
        notes = [*notes, f"starts at the parameters of {initial.words}"]
    if asked.mesh is not None:
        words = ", ".join(f"{k}={v}" for k, v in of_mesh(asked).items())
        notes = [*notes, f"many devices compute each trial: {words}"]
    folder = _folder(what, settings, options, varied, plan)
    _check_start(initial, folder)
    known = {} if options.overwrite else planning.known_plan(folder)
    trials = functools.partial(planning.first_trials, asked, varied, method)
    settings, extension = longer.settled(
        settings, plan, known, (trials, program), folder, options.workdir
    )
    plan = longer.with_settings(plan, settings)
    groups = planning.first_groups(settings, asked, varied, method, program)
    execution = executed(asked, varied, settings.seeds, known, groups, may_restart)
    plan |= execution.recorded
    is_run = not varied.dimensions
    lanes = lanes_by_group(execution, program, is_run=is_run)
    first = execution.programs[0]
    made = (problem, first, lanes, plan, folder, notes, extension)
    work = functools.partial(_made, source, settings, execution.sent, is_run)
    return Job(what, settings, asked, varied, method, *made, work)


class _Source(NamedTuple):
    """What makes the programs of a command, here and on a worker."""

    what: Experiment
    asked: Sweep
    is_schedule_swept: bool
    is_fitted: bool  # the size of a batch follows from the data
    initial: Initial | None


def _programs(
    source: _Source, make: Callable[[Settings], Problem]
) -> Callable[[Settings], Program]:
    """Returns a function from the settings of a group to its program, made once."""
    what = source.what

    @functools.cache
    def program(group: Settings) -> Program:
        own = group._replace(batch_size=None) if source.is_fitted else group
        if not source.is_schedule_swept:
            own = experiment.with_schedule(what, own)
        made = experiment.program_of(what, make(group), own)
        return with_mesh(started(made, source.initial), source.asked.mesh)

    return program


def _made(
    source: _Source, settings: Settings, execution: Execution, is_run: bool
) -> Made:
    """Makes the programs of a command on a worker."""
    make = experiment.maker(source.what, source.asked)
    program = _programs(source, make)
    lanes = lanes_by_group(execution, program, is_run=is_run)
    return Made(lanes, make(settings).about)


def work_of(job: Job) -> remote.Work:
    """Returns what the workers of an executor need of a command."""
    assert job.make is not None
    return remote.work_of(job.make, job.plan, {}, job.asked)


def _check_start(initial: Initial | None, folder: Path) -> None:
    """Refuses parameters from the folder to which this command writes, or a link."""
    if initial is not None and split(initial.source)[0].resolve() == folder.resolve():
        raise Refusal(f"--init_from={initial.source}: is the folder of this command")


def name_of(settings: Settings) -> str:
    """Returns the name of the problem: its expression, or data set and model."""
    own = dict(settings.own)
    if "problem" in own:
        return own["problem"]
    dataset = str(own.get("dataset", ""))
    if dataset.startswith(("/", ".", "~")):  # a path is named by its last part
        dataset = Path(dataset).expanduser().absolute().name
    return f"{dataset}_{own['model']}" if own.get("model") else dataset


def _plan(
    what: Experiment, base: Settings, asked: Sweep, varied: Space, problem: Problem
) -> dict[str, Any]:
    """Returns what determines the bits of every trial, without the number of trials."""
    modules = set(map(sources.module_of, (what.problem, what.resolve)))
    named = sources.named_modules([base._asdict(), varied])
    environment = records.environment(modules | named)
    del environment["num_devices"]  # decides nothing
    environment |= of_mesh(asked)
    own = {name: value for name, value in base.own if name not in _PLACES}
    return planning.plan_of(base, own, asked, varied, problem.about, environment)


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
