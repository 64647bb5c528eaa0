"""What a call of `tune` or of `compare` trains, and what decides its results."""

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gradjax import records
from gradjax.records import contents, sources
from gradjax.records.initial import Initial, started
from gradjax.sweeps import given, longer, planning, remote
from gradjax.sweeps.context import FRESH_SEED
from gradjax.sweeps.execution import (
    Execution,
    check_devices,
    executed,
    lanes_by_group,
    of_mesh,
)
from gradjax.sweeps.longer import Longer
from gradjax.sweeps.remote import Made
from gradjax.sweeps.shared import Shared
from gradjax.training.program import program as make_program
from gradjax.training.program import with_mesh
from gradjax.trials.lanes import Lanes
from gradjax.types import Problem, Program, Search, Settings, Space, Sweep


class Work(NamedTuple):
    """The arguments of a call, checked one by one."""

    problem: Problem
    space: Space
    settings: Settings
    asked: Sweep
    objects: given.Objects
    initial: Initial | None = None  # where every trial starts, if it is given
    first_fresh_seed: int = FRESH_SEED
    shared: Shared = Shared()  # with records of trials of other lengths


class Prepared(NamedTuple):
    """Work whose programs are made, and how its trials are executed."""

    work: Work
    space: Space  # with the optimizers of each range
    method: Search
    lanes: Callable[[Settings], Lanes]  # of the settings of a group; made once
    programs: list[Program]  # of the first round
    plan: dict[str, Any]  # of the record
    folder: Path
    extension: Longer | None = None  # how the sweep of the folder is extended
    make: Callable[[], Made] | None = None  # makes the programs on a worker


def prepare(
    work: Work,
    folder: Path,
    plan: Callable[[Work, Space], dict[str, Any]],
    *,
    known: dict[str, Any],
    may_restart: bool = False,
    may_extend: bool = False,
) -> Prepared:
    """Plans the trials, and makes the programs of the first round.

    Args:
      work: the arguments of the call.
      folder: of the record.
      plan: (work, checked space) -> what decides the results.
      known: the plan of the existing record; an empty one if there is none.
      may_restart: whether JAX's CPU backend may be restarted with another number of
        threads.
      may_extend: whether the sweep of the record may go on to more steps.

    Raises:
        Refusal: an unknown name, an impossible number or an impossible count.
    """
    _, varied, settings, asked = work[:4]
    varied, method = planning.searched(asked, varied, settings.optimizer)
    check_devices(asked, varied, settings.seeds)
    program = functools.cache(functools.partial(program_of, work))
    settings, extension = longer.settled(
        settings,
        plan(work, varied) if may_extend else {},
        known if may_extend else {},
        (functools.partial(planning.first_trials, asked, varied, method), program),
        folder,
    )
    work = work._replace(settings=settings)
    groups = planning.first_groups(settings, asked, varied, method, program)
    made = executed(asked, varied, settings.seeds, known, groups, may_restart)
    lanes = lanes_by_group(made, program, is_run=not varied.dimensions)
    deciding = plan(work, varied) | made.recorded
    made_of = (work, varied, method, lanes, made.programs, deciding, folder)
    make = functools.partial(_made, work, made.sent, not varied.dimensions)
    return Prepared(*made_of, extension, make)


def _made(work: Work, execution: Execution, is_run: bool) -> Made:
    """Makes the programs on a worker, to which the problem was sent with its data."""
    program = functools.cache(functools.partial(program_of, work))
    lanes = lanes_by_group(execution, program, is_run=is_run)
    return Made(lanes, work.problem.about)


def work_of(made: Prepared) -> remote.Work:
    """Returns what the workers of an executor need of a call."""
    assert made.make is not None
    return remote.work_of(made.make, made.plan, made.work.objects, made.work.asked)


def program_of(work: Work, group: Settings) -> Program:
    """Makes the program of the settings of a group."""
    made = make_program(
        work.problem,
        group.optimizer,
        group.schedule,
        num_steps=group.steps or 1,
        batch_size=group.batch_size,
        eval_every=interval_of(group),
        keep=group.keep,
        patience=group.patience,
        diagnostics=group.diagnostics,
        max_gradients=dict(group.own).get("max_gradients"),
        accumulate=group.accumulate,
        remat=group.remat,
    )
    return with_mesh(started(made, work.initial), work.asked.mesh)


def interval_of(group: Settings) -> int:
    """Returns the steps between two evaluations; a tenth of a run if not given."""
    num_steps = group.steps or 1
    return min(group.eval_every or -(-num_steps // 10), num_steps)


def parts_of(problem: Problem) -> dict[str, Any]:
    """Returns the parts of a problem that is given as an object, by name."""
    return {
        f"problem.{name}": part
        for name, part in problem._asdict().items()
        if part is not None and name != "about"
    }


def plan_of(parts: dict[str, Any], work: Work, varied: Space) -> dict[str, Any]:
    """Returns the plan of the record.

    Args:
      parts: what was given as an object, by name; the plan has digests of it.
      work: the arguments of the call.
      varied: the checked space.
    """
    found = {name: contents.digest(part, name) for name, part in parts.items()}
    modules = set().union(*(one.modules for one in found.values())) - {"__main__"}
    named = sources.named_modules([work.settings._asdict(), varied])
    environment = records.environment(modules | named)
    del environment["num_devices"]  # decides nothing
    environment |= of_mesh(work.asked)
    environment["functions"] = {name: one.code for name, one in found.items()}
    about, own = work.problem.about, dict(work.settings.own)
    plan = planning.plan_of(work.settings, own, work.asked, varied, about, environment)
    return plan | {"values": {name: one.values for name, one in found.items()}}


@contextlib.contextmanager
def folder(workdir: Any, name: str = "tune") -> Iterator[Path]:
    """Yields the folder of the record, or one that is removed at the end."""
    if workdir is not None:
        yield records.checked_path(str(workdir))
        return
    with tempfile.TemporaryDirectory(prefix="gradjax-") as folder:
        yield Path(folder) / name
