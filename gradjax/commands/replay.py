"""Makes the program of a trial of a command again, and computes a window of it."""

from collections.abc import Callable
from typing import Any

from gradjax import records
from gradjax.commands import experiment as experiments
from gradjax.commands.experiment import Experiment
from gradjax.errors import Refusal
from gradjax.records.initial import read as read_initial
from gradjax.records.initial import started
from gradjax.records.sources import named_modules
from gradjax.sweeps import replay as replays
from gradjax.sweeps.replay import Recorded, Replay, Steps
from gradjax.types import Program, Settings, Sweep

_NO_SWEEP = Sweep()


def with_data_dir(
    what: Experiment, settings: Settings, data_dir: str | None = None
) -> Settings:
    """Returns the settings of a plan with the folder of the data, as a command has it.

    A plan leaves the folder out, and an id of a trial does not.

    Args:
      what: the experiment of the record.
      settings: of its plan.
      data_dir: as it was given to the command; None: it was not given.
    """
    known = {"data_dir": data_dir} | dict(settings.own)
    names = [flag.name for group in what.flags.values() for flag in group]
    own = tuple((name, known[name]) for name in names if name in known)
    return settings._replace(own=own)


def replay(
    what: Experiment,
    found: Recorded,
    steps: Steps,
    diagnostics: Any,
    say: Callable[[str], None] = lambda _: None,
    asked: Sweep = _NO_SWEEP,
) -> Replay:
    """Trains a trial of an experiment again up to a window, and measures its steps.

    Args:
      what: the experiment of the record.
      found: from `sweeps.replay.recorded`.
      steps: see `sweeps.replay.replay`.
      diagnostics: likewise.
      say: likewise.
      asked: says whether the training examples are streamed, as in a command.

    Raises:
        Refusal: what `sweeps.replay.replay` refuses, or initial parameters that are no
            longer there.
    """
    made = program(what, found, asked)
    named = named_modules([found.plan["settings"], found.trial.point])
    now = records.environment(named)
    return replays.replay(made, found, steps, diagnostics, now, say)


def program(what: Experiment, found: Recorded, asked: Sweep = _NO_SWEEP) -> Program:
    """Makes the program of a trial, as the command made it, without its diagnostics.

    Raises:
        Refusal: initial parameters that are no longer there.
    """
    settings = experiments.with_schedule(what, found.trial.settings)
    settings = settings._replace(diagnostics=None)
    problem = experiments.maker(what, asked)(settings)
    made = experiments.program_of(what, problem, settings)
    if settings.init_from is None:
        return made
    initial = read_initial(found.plan["init_from"])
    if initial.digest != settings.init_from:
        source = found.plan["init_from"]
        raise Refusal(f"{source}: holds other parameters than when the run started")
    return started(made, initial)
