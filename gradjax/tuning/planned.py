"""What a call of `tune` trains, and what decides its results."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gradjax import records
from gradjax.records import contents, sources
from gradjax.records.initial import Initial, started
from gradjax.sweeps import given, planning
from gradjax.training.program import program as make_program
from gradjax.types import Problem, Program, Settings, Space, Sweep


class Work(NamedTuple):
    """The arguments of a call, checked one by one."""

    problem: Problem
    space: Space
    settings: Settings
    asked: Sweep
    objects: given.Objects
    initial: Initial | None  # where every trial starts, if it is given


def program_of(work: Work, group: Settings) -> Program:
    """Makes the program of the settings of a group."""
    num_steps = group.steps or 1
    interval = group.eval_every or -(-num_steps // 10)
    made = make_program(
        work.problem,
        group.optimizer,
        group.schedule,
        num_steps=num_steps,
        batch_size=group.batch_size,
        eval_every=min(interval, num_steps),
        keep=group.keep,
        patience=group.patience,
    )
    return started(made, work.initial)


def plan_of(work: Work, varied: Space) -> dict[str, Any]:
    """Returns the plan of the record, with digests of all that the call was given."""
    parts = {
        f"problem.{name}": part
        for name, part in work.problem._asdict().items()
        if part is not None and name != "about"
    } | work.objects
    found = {name: contents.digest(part, name) for name, part in parts.items()}
    modules = set().union(*(one.modules for one in found.values())) - {"__main__"}
    named = sources.named_modules([work.settings._asdict(), varied])
    environment = records.environment(modules | named)
    del environment["num_devices"]  # decides nothing
    environment["functions"] = {name: one.code for name, one in found.items()}
    about = work.problem.about
    plan = planning.plan_of(work.settings, {}, work.asked, varied, about, environment)
    return plan | {"values": {name: one.values for name, one in found.items()}}


@contextlib.contextmanager
def folder(workdir: Any) -> Iterator[Path]:
    """Yields the folder of the record, or one that is removed at the end."""
    if workdir is not None:
        yield records.checked_path(str(workdir))
        return
    with tempfile.TemporaryDirectory(prefix="gradjax-") as folder:
        yield Path(folder) / "tune"
