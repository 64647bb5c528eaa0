"""The declaration of an experiment or a lesson, and its settings and program."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from gradjax import optimizers, schedules
from gradjax.commands import flags
from gradjax.commands.flags import Flag, Groups
from gradjax.data import prepared, sizes, streaming
from gradjax.errors import Refusal
from gradjax.optimizers import bounds
from gradjax.sweeps import names
from gradjax.training import selection
from gradjax.training.program import program as make_program
from gradjax.types import Options, Problem, Program, Settings, Sweep

_NO_SWEEP = Sweep()
_STEPS = 1_000  # of a run without epochs, if no number of steps is given


class Experiment(NamedTuple):
    """An experiment that trains: its problem, its own flags, its defaults."""

    name: str
    problem: Callable[[Settings], Problem]
    flags: Groups  # its own flags; `settings.own` has their values
    defaults: dict[str, Any] = {}  # of flags, if they differ from the usual defaults
    learning_rate: float | None = None  # of the default optimizer; None: the
    # optimizer's own
    epochs: int | Callable[[str], int] | None = 5  # or a function of the name of the
    # data set; None: the length of a run is given in steps
    examples: str = "examples"  # the word for the examples of a batch
    batch_size: int | None = None  # examples; None: all of them
    resolve: Callable[[Settings], Settings] = lambda settings: settings
    # fills in settings that depend on the machine, such as the prepared data set


class Lesson(NamedTuple):
    """An experiment that trains many times to show one thing."""

    name: str
    settings: Any  # a NamedTuple: its first field is the experiment, the others flags
    flags: Groups
    run: Callable[..., Any]  # (settings, options)


def groups_of(what: Experiment | Lesson) -> Groups:
    """Returns all flags of an experiment or a lesson with their defaults, in groups."""
    return _of_lesson(what) if isinstance(what, Lesson) else _of_experiment(what)


def _of_lesson(lesson: Lesson) -> Groups:
    known = {**Options._field_defaults, **lesson.settings._field_defaults}
    return {
        title: [
            flags.with_default(one, known[one.name], {"name": lesson.name})
            for one in own
        ]
        for title, own in lesson.flags.items()
    }


def _of_experiment(experiment: Experiment) -> Groups:
    counts_steps = experiment.epochs is None
    epochs = (
        experiment.epochs if isinstance(experiment.epochs, int) else "5; digits: 30"
    )
    rate = "the optimizer's own"
    if experiment.learning_rate is not None:
        rate = f"{experiment.learning_rate:g}, or another optimizer's own"
    words = {
        "name": experiment.name,
        "examples": experiment.examples,
        "batch": _usual_batch(experiment),
        "rate": rate,
        "duration": f"{_STEPS:,} steps" if counts_steps else f"{epochs}",
        "interval": "a tenth of the run" if counts_steps else "an epoch",
    }
    shared = flags.training_flags(experiment.defaults, words)
    own = {
        title: [_with_default(experiment, flag) for flag in group]
        for title, group in experiment.flags.items()
    }
    return {**own, **shared}


def settings_of(experiment: Experiment, **given: Any) -> Settings:
    """Returns the settings of a command; flags that are not given have defaults."""
    groups = groups_of(experiment)
    known = {flag.name: flag.default for group in groups.values() for flag in group}
    if unknown := given.keys() - known.keys():
        raise Refusal(f"unknown flags of {experiment.name}: {', '.join(unknown)}")
    values = known | given
    own = [flag.name for group in experiment.flags.values() for flag in group]
    fields = set(Settings._fields) & values.keys()
    return Settings(
        experiment.name,
        **{name: values[name] for name in fields},
        own=tuple((name, values[name]) for name in own),
    )


def maker(
    experiment: Experiment, asked: Sweep = _NO_SWEEP
) -> Callable[[Settings], Problem]:
    """Returns a function from settings to their problem; it loads nothing twice.

    Args:
      experiment: the experiment.
      asked: says whether the training examples are streamed.

    Raises:
        Refusal: workers without a stream, or no number of them.
    """
    if asked.stream_workers and not asked.stream:
        raise Refusal(
            f"--stream_workers={asked.stream_workers}: nothing is streamed without"
            " --stream"
        )
    streaming.check_workers(asked.stream_workers)

    @functools.cache
    def make(own: tuple[tuple[str, Any], ...]) -> Problem:
        made = experiment.problem(Settings(experiment.name, own=own))
        if not asked.stream:
            return made
        return streaming.streamed(made, asked.stream_workers)

    return lambda settings: make(settings.own)


def check(settings: Settings) -> None:
    """Refuses counts, seeds and expressions that are wrong for every data set.

    Raises:
        Refusal: the line names the flag, its value and what it must be.
    """
    if settings.epochs is not None and settings.steps is not None:
        raise Refusal("--epochs and --steps are both given; give one")
    counts = ("epochs", "steps", "batch_size", "eval_every", "seeds", "patience")
    for name in (*counts, "accumulate"):
        count = getattr(settings, name)
        if count is not None and not 1 <= count < 2**31:
            raise Refusal(f"--{name}={count}: must be a positive whole number, < 2**31")
    if not 0 <= settings.trace_every < 2**31:
        said = f"--trace_every={settings.trace_every}"
        raise Refusal(f"{said}: must be a whole number, not negative, < 2**31")
    selection.check_keep(settings.keep)
    folder = dict(settings.own).get("data_dir")
    if folder is not None:
        prepared.find("digits", folder)  # refuses a folder that does not exist
    last = settings.seed + settings.seeds - 1
    if settings.seed < 0 or last >= 2**32:
        raise Refusal(f"--seed={settings.seed}: seeds must lie from 0 to {2**32 - 1}")
    _, numbers = optimizers.split(settings.optimizer)
    if settings.learning_rate is not None:
        bounds.check("learning_rate", settings.learning_rate, "--learning_rate")
        if optimizers.RATE not in numbers:
            raise Refusal(
                f"--learning_rate={settings.learning_rate:g}: {settings.optimizer} has"
                " no learning rate to set, or gives its own"
            )
    if settings.steps is not None:
        schedules.split(settings.schedule, settings.steps)


def with_duration(experiment: Experiment, settings: Settings) -> Settings:
    """Returns the settings with the number of epochs or steps filled in."""
    if settings.epochs is not None or settings.steps is not None:
        return settings
    epochs = experiment.epochs
    if epochs is None:
        return settings._replace(steps=_STEPS)
    if callable(epochs):
        epochs = epochs(str(dict(settings.own).get("dataset")))
    return settings._replace(epochs=epochs)


def with_schedule(experiment: Experiment, settings: Settings) -> Settings:
    """Returns the settings with a constant schedule, if no other one has an effect.

    The default schedule of the experiment has none on an optimizer without a learning
    rate. Another schedule stays, and `gradjax.program` refuses it.
    """
    if settings.schedule != _default(experiment, "schedule"):
        return settings
    schedule = names.schedule_for(settings.optimizer, settings.schedule)
    return settings._replace(schedule=schedule)


def with_batch_size(
    experiment: Experiment, problem: Problem, settings: Settings
) -> Settings:
    """Returns the settings with a batch size, if none was given and one is usual.

    A train split with fewer examples than the usual batch has batches of the largest
    power of two that is at most half of its examples, so that an epoch has some steps.
    """
    usual = experiment.batch_size
    if settings.batch_size is not None or usual is None or problem.data is None:
        return settings
    num_examples = problem.data.train.num_examples
    fitting = 1 << max(num_examples // 2, 1).bit_length() - 1
    return settings._replace(
        batch_size=usual if usual <= num_examples else min(fitting, usual)
    )


def notes(experiment: Experiment, problem: Problem, settings: Settings) -> list[str]:
    """Returns lines that say what was understood of files and chosen for the data.

    Args:
      experiment: the experiment.
      problem: the problem of the settings.
      settings: as they were given, before `with_batch_size`.
    """
    about = problem.about or {}
    lines = [about["understood"]] if "understood" in about else []
    lines += about.get("chosen", [])
    size = with_batch_size(experiment, problem, settings).batch_size
    if settings.batch_size is None and size != experiment.batch_size:
        assert problem.data is not None  # otherwise nothing was chosen
        count = problem.data.train.num_examples
        there = f"are {count:,} training {experiment.examples}"
        there = "is one example to train on" if count == 1 else there
        lines.append(f"batch size {size}, because there {there}")
    return lines


def program_of(experiment: Experiment, problem: Problem, settings: Settings) -> Program:
    """Makes the program of settings with a number of epochs or steps.

    Its default learning rate is that of the settings. If they have none, it is that of
    the experiment if the optimizer is the experiment's default, and otherwise the
    optimizer's own.

    Raises:
        Refusal: what `gradjax.program` refuses.
    """
    settings = with_batch_size(experiment, problem, settings)
    epoch = sizes.epoch_steps(problem.data, settings.batch_size)
    if epoch is None and settings.epochs is not None:
        name = dict(settings.own).get("problem", experiment.name)
        raise Refusal(f"--epochs={settings.epochs}: {name} has no data; give --steps")
    num_steps = settings.steps or (settings.epochs or 1) * (epoch or _STEPS)
    is_by_epoch = experiment.epochs is not None and epoch is not None
    usual = epoch if is_by_epoch else -(-num_steps // 10)
    program = make_program(
        problem,
        settings.optimizer,
        settings.schedule,
        num_steps=num_steps,
        batch_size=settings.batch_size,
        eval_every=min(settings.eval_every or usual or num_steps, num_steps),
        keep=settings.keep,
        patience=settings.patience,
        diagnostics=settings.diagnostics,
        accumulate=settings.accumulate,
        remat=settings.remat,
    )
    rate = settings.learning_rate
    if rate is None and settings.optimizer == _default(experiment, "optimizer"):
        rate = experiment.learning_rate
    if rate is None or optimizers.RATE not in program.hparams:
        return program
    return program._replace(hparams={**program.hparams, optimizers.RATE: rate})


def _usual_batch(experiment: Experiment) -> str:
    if experiment.batch_size is None:
        return "all of them"
    return f"{experiment.batch_size}, or fewer where there are not so many"


def _default(experiment: Experiment, name: str) -> Any:
    return {**Settings._field_defaults, **experiment.defaults}[name]


def _with_default(experiment: Experiment, flag: Flag) -> Flag:
    return flag._replace(default=experiment.defaults.get(flag.name, flag.default))
