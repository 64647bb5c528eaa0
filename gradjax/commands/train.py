"""From settings to a finished folder: what every experiment's command does.

Everything that can be refused is refused before anything is compiled or written.
"""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradjax import data, optimizers, records, schedules
from gradjax.errors import Refusal
from gradjax.optimizers import bounds
from gradjax.plots.curves import Examples, curves
from gradjax.report import terminal
from gradjax.report.summary import summarize, table_rows
from gradjax.training.program import program as make_program
from gradjax.training.program import run
from gradjax.types import (
    Hparams,
    Options,
    Params,
    Problem,
    Program,
    Report,
    Result,
    Settings,
)

_EPOCHS = {"digits": 30}  # a data set this small needs more passes
_USUAL_EPOCHS = 5
_USUAL_STEPS = 1_000  # of a problem without data


def choose_dataset(settings: Settings, options: Options) -> str:
    """The flag's data set; without one mnist where it is prepared, else digits."""
    if settings.dataset is not None:
        return settings.dataset
    if data.is_prepared("mnist", options.data_dir):
        return "mnist"
    folder = options.data_dir or data.default_data_dir()
    terminal.say(
        f"MNIST is not prepared in {folder} (make data does it): this run uses the"
        " bundled digits, 1,797 real images of 8x8"
    )
    return "digits"


def check(settings: Settings) -> None:
    """Refuses counts, seeds and expressions that no data set could make right.

    Raises:
        Refusal: the flag, its value and what it must be.
    """
    if settings.epochs is not None and settings.steps is not None:
        raise Refusal("--epochs and --steps are both given; give one")
    for name in ("epochs", "steps", "batch_size", "eval_every", "seeds"):
        count = getattr(settings, name)
        if count is not None and not 1 <= count < 2**31:
            raise Refusal(f"--{name}={count}: must be a positive whole number, < 2**31")
    if settings.trace_every < 0:
        raise Refusal(f"--trace_every={settings.trace_every}: must not be negative")
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


def train(
    problem: Problem,
    settings: Settings,
    options: Options,
    about_data: dict[str, Any] | None = None,
    examples: Callable[[Params], Examples] | None = None,
) -> dict[str, Any]:
    """Trains once per seed, keeps the record, shows the table.

    Args:
      problem: with or without data.
      settings: what to run; the problem or the data set is named.
      options: where to keep it.
      about_data: what config.json says of images; a problem of another kind is all in
        its expression.
      examples: what the picture shows of the trained parameters.

    Returns:
      The summary, as in summary.json.

    Raises:
        Refusal: bad input, before anything was compiled or written; or a full disk.
    """
    epoch_steps = _epoch_steps(problem, settings)
    program, settings = stated_program(problem, settings)
    settings = _with_rate(settings, program)
    config = {
        "settings": settings._asdict(),
        "command": command_line(settings.experiment),
        "data": about_data,
        "epoch_steps": epoch_steps,
        "hparams": program.hparams | _hparams(program, settings),
        "environment": records.environment(),
    }
    folder = chosen_folder(settings, options, *_words(settings))
    there = records.begin(folder, settings, config, options.overwrite)
    if there is records.State.FINISHED:
        summary = records.load(folder).summary
        _show(summary, folder, "is finished already; --overwrite trains again")
        return summary
    _announce(problem, settings, about_data, there)
    results = [_run(program, settings, seed, epoch_steps) for seed in seeds(settings)]
    about = {
        "problem": name_of(settings),
        "dataset": settings.dataset,
        "seeds": seeds(settings),
    }
    reports = _reports(problem, results)
    summary = summarize(
        results, problem, about, program.plan.batch_size, epoch_steps, reports
    )
    picture = None
    if options.plot:
        shown = examples(results[0].params) if examples else None
        title = f"{about['problem']}: {settings.optimizer}, {settings.schedule}"
        picture = curves(title, [r.trace for r in results], epoch_steps, shown)
    files = {name: of for report in reports for name, of in report.files.items()}
    records.save(folder, results, summary, picture, settings.trace_every, files)
    _show(summary, folder, "keeps this run")
    return summary


def _reports(problem: Problem, results: list[Result]) -> list[Report]:
    """What the problem says of each run; nothing of one that diverged."""
    if problem.report is None:
        return [Report({}) for _ in results]
    return [
        problem.report(one.params, problem.data)
        if one.status == "finished"
        else Report({})
        for one in results
    ]


def stated_program(problem: Problem, settings: Settings) -> tuple[Program, Settings]:
    """The program of these settings, which then say its steps as a number."""
    settings, num_steps = with_steps(problem, settings)
    program = make_program(
        problem,
        settings.optimizer,
        settings.schedule,
        num_steps=num_steps,
        batch_size=settings.batch_size,
        eval_every=settings.eval_every,
    )
    return program, settings


def command_line(experiment: str) -> str:
    """What was typed, to type again."""
    return shlex.join(["python", "-m", f"experiments.{experiment}", *sys.argv[1:]])


def chosen_folder(settings: Any, options: Options, *words: str) -> Path:
    """--workdir, or runs/<experiment>/<words>-<digest> here.

    Raises:
        Refusal: a workdir that cannot be one.
    """
    if options.workdir is not None:
        return records.checked_path(options.workdir)
    return Path.cwd() / records.default_path(settings, *words)


def name_of(settings: Settings) -> str:
    """The problem: its expression, or the data set with the model."""
    return settings.problem or f"{_data_name(settings)}_{settings.model}"


def seeds(settings: Settings) -> list[int]:
    """The seeds of a run, one a trial."""
    return list(range(settings.seed, settings.seed + settings.seeds))


def _epoch_steps(problem: Problem, settings: Settings) -> int | None:
    """Steps of one pass over the training split; None without data."""
    if problem.data is None:
        return None
    num_examples = problem.data.train.num_examples
    return -(-num_examples // (settings.batch_size or num_examples))


def with_steps(problem: Problem, settings: Settings) -> tuple[Settings, int]:
    """Steps and evaluation interval as numbers: five epochs, an epoch, by default.

    Without data a thousand steps, and an interval of a tenth of them.
    """
    epoch_steps = _epoch_steps(problem, settings)
    epochs, num_steps = settings.epochs, settings.steps
    if num_steps is None and epoch_steps is not None:
        epochs = epochs or _EPOCHS.get(settings.dataset or "", _USUAL_EPOCHS)
        num_steps = epochs * epoch_steps
    num_steps = num_steps or _USUAL_STEPS
    usual = epoch_steps if settings.dataset and epoch_steps else -(-num_steps // 10)
    interval = min(settings.eval_every or usual, num_steps)
    settings = settings._replace(epochs=epochs, steps=num_steps, eval_every=interval)
    return settings, num_steps


def _with_rate(settings: Settings, program: Program) -> Settings:
    """The learning rate as a number, in the settings and in the program."""
    if settings.learning_rate is None:
        rate = program.hparams.get(optimizers.RATE)
        settings = settings._replace(learning_rate=rate)
    numbers = program.hparams | _hparams(program, settings)
    if any(numbers[path] == 0.0 for path in program.plan.optimizer.rates):
        terminal.say("learning rate 0: the parameters will stay where they start")
    return settings


def _data_name(settings: Settings) -> str:
    """The data set as a person says it: of a path, what it ends in."""
    name = settings.dataset or ""
    is_path = name.startswith(("/", ".", "~"))
    return Path(os.path.expanduser(name)).absolute().name if is_path else name


def _words(settings: Settings) -> tuple[str, ...]:
    """What the folder's name says of a run."""
    rate = settings.learning_rate
    said = [
        settings.optimizer,
        *([] if rate is None else [f"lr{rate:g}".replace("+", "")]),
    ]
    what = settings.problem or f"{_data_name(settings)}-{settings.model}"
    return (what, *said, f"seed{settings.seed}")


def _announce(
    problem: Problem,
    settings: Settings,
    about_data: dict[str, Any] | None,
    there: records.State,
) -> None:
    if there is records.State.UNFINISHED:
        terminal.say("an unfinished run of these settings is there: it starts again")
    data, what = problem.data, settings.problem or _data_name(settings)
    origin = f" ({about_data['origin']})" if about_data else ""
    parts = [] if data is None else zip(data._fields, data, strict=True)
    sizes = [f"{part.num_examples:,} {split}" for split, part in parts if part]
    terminal.say(f"{what}{origin}: {', '.join(sizes) or 'no data'}")
    rate = "" if settings.learning_rate is None else f" at {settings.learning_rate:g}"
    network = f"{settings.model}, " if settings.model else ""
    examples = "" if data is None else f" of {settings.batch_size or 'all examples'}"
    terminal.say(
        f"{network}{settings.optimizer}{rate}, {settings.schedule}: "
        f"{settings.steps:,} steps{examples}"
    )


def _hparams(program: Program, settings: Settings) -> Hparams:
    has_rate = optimizers.RATE in program.hparams
    return {optimizers.RATE: settings.learning_rate} if has_rate else {}


def _run(
    program: Program, settings: Settings, seed: int, epoch_steps: int | None
) -> Result:
    label = f"seed {seed}" if settings.seeds > 1 else "train"
    with terminal.progress(label, program.plan.num_steps, epoch_steps) as on_block:
        result = run(program, _hparams(program, settings), seed, on_block)
    if result.status == "diverged":
        terminal.say(
            f"{label} diverged: the loss is not finite at step {result.diverged_step}"
        )
    return result


def _show(summary: dict[str, Any], folder: Path, what: str) -> None:
    for heading, lines in summary["texts"].items():
        terminal.say("\n".join([f"{heading}:", *(f"  {line}" for line in lines)]))
    terminal.table(f"{summary['problem']}: {summary['status']}", table_rows(summary))
    terminal.say(f"{spoken(folder)} {what}")


def spoken(folder: Path) -> Path:
    """The path as a person would type it from here."""
    return (
        folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    )
