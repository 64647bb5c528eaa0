"""From settings to a finished folder: what every experiment's command does.

Everything that can be refused is refused before anything is compiled or written.
"""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradjax import data, optimizers, records, schedules, training
from gradjax.errors import Refusal
from gradjax.optimizers import bounds
from gradjax.plots.curves import Examples, curves
from gradjax.report import terminal
from gradjax.report.summary import summarize, table_rows
from gradjax.types import Hparams, Options, Params, Problem, Program, Result, Settings

_EPOCHS = {"digits": 30}  # a data set this small needs more passes
_USUAL_EPOCHS = 5


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
        if count is not None and count < 1:
            raise Refusal(f"--{name}={count}: must be a positive whole number")
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
    about_data: dict[str, Any],
    examples: Callable[[Params], Examples] | None = None,
) -> dict[str, Any]:
    """Trains once per seed, keeps the record, shows the table.

    Args:
      problem: on that data set, with the three splits.
      settings: what to run; the data set is named.
      options: where to keep it.
      about_data: what config.json says of the data.
      examples: what the picture shows of the trained parameters.

    Returns:
      The summary, as in summary.json.

    Raises:
        Refusal: bad input, before anything was compiled or written; or a full disk.
    """
    if problem.data is None:
        raise ValueError("launch.train needs a problem with data")
    epoch_steps = -(-problem.data.train.num_examples // settings.batch_size)
    settings, num_steps = _with_steps(settings, epoch_steps)
    program = training.program(
        problem,
        settings.optimizer,
        settings.schedule,
        num_steps=num_steps,
        batch_size=settings.batch_size,
        eval_every=settings.eval_every,
    )
    settings = _with_rate(settings, program)
    config = {
        "settings": settings._asdict(),
        "command": shlex.join(
            ["python", "-m", f"experiments.{settings.experiment}", *sys.argv[1:]]
        ),
        "data": about_data,
        "epoch_steps": epoch_steps,
        "hparams": program.hparams | _hparams(program, settings),
        "environment": records.environment(),
    }
    folder = _folder(settings, options)
    there = records.begin(folder, settings, config, options.overwrite)
    if there is records.State.FINISHED:
        summary = records.load(folder).summary
        _show(summary, folder, "is finished already; --overwrite trains again")
        return summary
    _announce(settings, about_data, there)
    results = [_run(program, settings, seed, epoch_steps) for seed in seeds(settings)]
    about = {
        "problem": f"{settings.dataset}_{settings.model}",
        "dataset": settings.dataset,
        "seeds": seeds(settings),
    }
    size = settings.batch_size
    summary = summarize(results, problem.target, about, size, epoch_steps)
    picture = None
    if options.plot:
        shown = examples(results[0].params) if examples else None
        title = f"{about['problem']}: {settings.optimizer}, {settings.schedule}"
        picture = curves(title, [r.trace for r in results], epoch_steps, shown)
    records.save(folder, results, summary, picture, settings.trace_every)
    _show(summary, folder, "keeps this run")
    return summary


def seeds(settings: Settings) -> list[int]:
    """The seeds of a run, one a trial."""
    return list(range(settings.seed, settings.seed + settings.seeds))


def _with_steps(settings: Settings, epoch_steps: int) -> tuple[Settings, int]:
    """Steps and evaluation interval as numbers: five epochs, an epoch, by default."""
    epochs, num_steps = settings.epochs, settings.steps
    if num_steps is None:
        epochs = epochs or _EPOCHS.get(settings.dataset or "", _USUAL_EPOCHS)
        num_steps = epochs * epoch_steps
    interval = min(settings.eval_every or epoch_steps, num_steps)
    settings = settings._replace(epochs=epochs, steps=num_steps, eval_every=interval)
    return settings, num_steps


def _with_rate(settings: Settings, program: Program) -> Settings:
    """The learning rate as a number, in the settings and in the program."""
    if settings.learning_rate is None:
        return settings._replace(learning_rate=program.hparams.get(optimizers.RATE))
    if settings.learning_rate == 0.0:
        terminal.say("learning rate 0: the parameters will stay where they start")
    return settings


def _folder(settings: Settings, options: Options) -> Path:
    if options.workdir is not None:
        return records.checked_path(options.workdir)
    return Path.cwd() / records.default_path(settings)


def _announce(
    settings: Settings, about_data: dict[str, Any], there: records.State
) -> None:
    if there is records.State.UNFINISHED:
        terminal.say("an unfinished run of these settings is there: it starts again")
    sizes = about_data["num_examples"]
    terminal.say(
        f"{settings.dataset} ({about_data['origin']}): {sizes['train']:,} train,"
        f" {sizes['validation']:,} validation, {sizes['test']:,} test"
    )
    rate = "" if settings.learning_rate is None else f" at {settings.learning_rate:g}"
    terminal.say(
        f"{settings.model}, {settings.optimizer}{rate}, {settings.schedule}: "
        f"{settings.steps:,} steps of {settings.batch_size}"
    )


def _hparams(program: Program, settings: Settings) -> Hparams:
    has_rate = optimizers.RATE in program.hparams
    return {optimizers.RATE: settings.learning_rate} if has_rate else {}


def _run(program: Program, settings: Settings, seed: int, epoch_steps: int) -> Result:
    label = f"seed {seed}" if settings.seeds > 1 else "train"
    with terminal.progress(label, program.plan.num_steps, epoch_steps) as on_block:
        result = training.run(program, _hparams(program, settings), seed, on_block)
    if result.status == "diverged":
        terminal.say(
            f"{label} diverged: the loss is not finite at step {result.diverged_step}"
        )
    return result


def _show(summary: dict[str, Any], folder: Path, what: str) -> None:
    terminal.table(f"{summary['problem']}: {summary['status']}", table_rows(summary))
    terminal.say(f"{_spoken(folder)} {what}")


def _spoken(folder: Path) -> Path:
    """The path as a person would type it from here."""
    return (
        folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    )
