r"""Compare full batch and mini-batch: the cost of a step, and the decrease of the loss.

Claim:    in the same number of epochs, small batches take more steps and reach a lower
          loss, because at one learning rate the loss falls with the number of steps;
          but a step on a large batch costs less per example.
Cost:     seconds, mainly to compile one program for each batch size.
Command:  python -m experiments.batch_size
          python -m experiments.batch_size --scale_rate=linear --batch_size=16,full
          python -m experiments.batch_size --problem=mnist_mlp --stream --epochs=2

All batch sizes start at the same parameters and use the same examples, with
ceil(examples / batch) steps per epoch and the same learning rate. A larger batch has a
less noisy gradient, so --scale_rate can give it a larger rate: `linear` multiplies the
rate by batch / smallest batch (Goyal et al. 2017), `sqrt` by the square root of that
(Krizhevsky 2014). The rate of the flag is that of the smallest batch. Scaling does not
change the largest stable rate, so training with `linear` can diverge.

The training loss of a mini-batch is a sample of the loss over all data and is averaged
over steps; that of the full batch is exact. Validation is evaluated after each epoch.
"""

import functools
from typing import Any, NamedTuple

import gradjax
from gradjax import expressions, optimizers, problems, types
from gradjax.analysis import seeds as many
from gradjax.commands import experiment, flags, lesson
from gradjax.commands.experiment import Lesson
from gradjax.commands.flags import Flag
from gradjax.commands.main import main
from gradjax.data import sizes as data
from gradjax.errors import Refusal
from gradjax.optimizers import bounds
from gradjax.plots.batch_sizes import MAX_SIZES, Trained, batch_sizes
from gradjax.problems import arguments
from gradjax.report import announce, terminal
from gradjax.trials import timing
from gradjax.types import LessonResult, Options, Problem, Program, Result, Series

_SCALES = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}  # the power of batch / smallest
_MAX_STEPS = 1_000_000  # because the losses of a run are kept in memory


class Settings(NamedTuple):
    """The settings of the lesson."""

    experiment: str
    problem: str = "digits_mlp"  # an expression
    optimizer: str = "sgd"  # an expression
    learning_rate: float | None = None  # None: the default of the optimizer
    scale_rate: str = "none"  # a name in _SCALES
    batch_size: tuple[str, ...] = ()  # empty: the usual ones
    epochs: int = 20
    seed: int = 0  # the first seed
    seeds: int = 1  # the number of seeds
    stream: bool = False  # the training examples are read while a run goes on


class Size(NamedTuple):
    """A batch size and its program."""

    batch_size: int
    name: str  # "32", or "all 1,257"
    rate: float | None  # None: the optimizer has none
    program: Program


class Measured(NamedTuple):
    """The results of training with one batch size."""

    size: Size
    results: list[Result]  # one per seed
    figures: dict[str, Any]  # for summary.json


def run(settings: Settings, options: Options) -> dict[str, Any]:
    """Checks the settings, trains with each batch size and seed, and reports."""
    expressions.lookup(settings.scale_rate, _SCALES, "--scale_rate")
    arguments.whole("--epochs", settings.epochs, 1, 10_000)
    arguments.whole("--seeds", settings.seeds, 1, 100)
    experiment.check(
        types.Settings(
            settings.experiment,
            optimizer=settings.optimizer,
            learning_rate=settings.learning_rate,
            seed=settings.seed,
            seeds=settings.seeds,
        )
    )
    problem = problems.make(settings.problem)
    if settings.stream:
        problem = gradjax.streamed(problem)
    if problem.data is None:
        raise Refusal(f"--problem={settings.problem}: it has no data, so no batches")
    num_examples = problem.data.train.num_examples
    asked = settings.batch_size or data.usual(num_examples)
    if not settings.batch_size and num_examples <= data.USUAL[-1]:
        there = f"because there are {num_examples} training examples"
        terminal.say(f"batch sizes {', '.join(asked)}, {there}")
    counts = data.batch_sizes(asked, num_examples, 2, MAX_SIZES, "--batch_size")
    sizes = [_size(settings, problem, count, min(counts)) for count in counts]
    return lesson.run(settings, options, lambda: _find(settings, sizes))


def _size(settings: Settings, problem: Problem, count: int, smallest: int) -> Size:
    """Returns a batch size with its rate and its program, which is not compiled yet.

    Raises:
        Refusal: too many steps, or a rate out of bounds.
    """
    assert problem.data is not None
    num_examples = problem.data.train.num_examples
    epoch_steps = data.epoch_steps(problem.data, count) or 1
    num_steps = settings.epochs * epoch_steps
    if num_steps > _MAX_STEPS:
        said = f"{num_steps:,} steps of {count}; at most {_MAX_STEPS:,}"
        raise Refusal(f"--epochs={settings.epochs}: {said}")
    program = gradjax.program(
        problem,
        settings.optimizer,
        num_steps=num_steps,
        batch_size=count,
        eval_every=epoch_steps,
    )
    name = f"all {count:,}" if count == num_examples else f"{count:,}"
    return Size(count, name, _rate(settings, program, count / smallest), program)


def _rate(settings: Settings, program: Program, times: float) -> float | None:
    """Returns the learning rate of a batch `times` as large as the smallest one."""
    rate, power = settings.learning_rate, _SCALES[settings.scale_rate]
    if rate is None:
        rate = program.hparams.get(optimizers.RATE)
    if not power:
        return rate
    where = f"--scale_rate={settings.scale_rate}"
    if rate is None:
        raise Refusal(f"{where}: {settings.optimizer} has no learning rate to scale")
    return bounds.check(optimizers.RATE, rate * times**power, where)


def _find(settings: Settings, sizes: list[Size]) -> LessonResult:
    """Trains with each batch size and seed."""
    epochs, scale = _count(settings.epochs, "epoch"), settings.scale_rate
    what = f"{epochs} of {settings.problem}, {settings.optimizer}"
    terminal.say(f"{what}: {len(sizes)} batch sizes, {len(sizes)} programs to compile")
    announce.rate_of_zero(sizes[0].program, sizes[0].rate)
    found = [_measure(settings, size) for size in sizes]
    how = "one learning rate" if scale == "none" else f"{scale} scaling of the rate"
    draw = functools.partial(batch_sizes, f"{what}, {how}", dict(map(_curves, found)))
    return LessonResult(
        _sentence(settings, found),
        {"num_programs": len(sizes), "sizes": [one.figures for one in found]},
        [(f"batches of {one.size.name}", _row(one.figures)) for one in found],
        _trace(found),
        {"picture.png": draw},
    )


def _measure(settings: Settings, size: Size) -> Measured:
    """Trains with each seed, and measures the time of a step."""
    numbers = {} if size.rate is None else {optimizers.RATE: size.rate}
    seeds = range(settings.seed, settings.seed + settings.seeds)
    results = [gradjax.run(size.program, numbers, seed) for seed in seeds]
    step_s = timing.step_seconds(size.program, numbers, settings.seed)
    num_steps = size.program.plan.num_steps
    terminal.say(
        f"batches of {size.name}: {_count(num_steps, 'step')}, compiled in"
        f" {results[0].compile_s:.1f} s, run in {results[0].run_s:.2f} s"
    )
    figures = many.figures(results, num_steps, step_s)
    speed = size.batch_size * figures["gradients_per_s"]
    given = {"batch_size": size.batch_size, "learning_rate": size.rate}
    return Measured(size, results, {**given, **figures, "examples_per_s": speed})


def _curves(one: Measured) -> tuple[str, Trained]:
    """Returns the label and the curves of a batch size in the picture."""
    size, figures, epoch_steps = one.size, one.figures, one.size.program.plan.eval_every
    rate = "" if size.rate is None else f" at {size.rate:.3g}"
    speed = f"{figures['gradients_per_s']:,.0f} gradients/s"
    end = " (diverged)" if figures["diverged"] else ""
    loss = many.stack(one.results, "loss")
    assert loss is not None
    held_out = many.stack(one.results, "validation_loss")
    shape = (size.batch_size, epoch_steps, figures["step_s"], epoch_steps == 1)
    label = f"{size.name}: {_count(figures['steps'], 'step')}{rate}, {speed}{end}"
    return label, Trained(loss, held_out, *shape)


def _sentence(settings: Settings, found: list[Measured]) -> str:
    """Describes the losses and the steps, then the gain and the cost of a step."""
    least = min(found, key=lambda one: one.size.batch_size)
    most = max(found, key=lambda one: one.size.batch_size)
    step = most.figures["steps"]
    after = [many.training_loss(one.results, step) for one in (least, most)]
    said = [_final_losses(settings, found)]
    if None not in after:
        said.append(
            f"after the same {_count(step, 'step')} the training loss was"
            f" {after[0]:.3g} with {least.size.name} and {after[1]:.3g} with"
            f" {most.size.name}"
        )
    times = most.figures["step_s"] / least.figures["step_s"]
    share = times * least.size.batch_size / most.size.batch_size
    said.append(
        f"a step of {most.size.name} took {times:.3g} times as long as one of"
        f" {least.size.name}, or {share:.2g} times per example"
    )
    return "; ".join(said)


def _final_losses(settings: Settings, found: list[Measured]) -> str:
    """Describes the loss of each batch size after the same number of epochs."""
    is_held_out = "validation_loss" in found[0].results[0].trace
    what = "validation" if is_held_out else "training"
    reached, diverged = [], []
    for size, _, figures in found:
        end = figures[f"{what}_loss"]
        rate = "" if settings.scale_rate == "none" else f" at rate {size.rate:.3g}"
        how = f"{_count(figures['steps'], 'step')} of {size.name}{rate}"
        if end is None:
            diverged.append(f"within {how}")
        else:
            reached.append(f"{end:.3g} in {how}")
    said = (
        [f"reached a {what} loss of {terminal.join_words(reached)}"] if reached else []
    )
    said += [f"diverged {terminal.join_words(diverged)}"] if diverged else []
    epochs = f"In the same {_count(settings.epochs, 'epoch')} of {settings.problem}"
    return f"{epochs}, {settings.optimizer} {', and '.join(said)}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _row(figures: dict[str, Any]) -> str:
    """Returns a row of the table."""
    names = ("training_loss", "validation_loss", "validation_accuracy")
    shown = [(name.replace("_", " "), figures[name]) for name in names]
    ends = ", ".join(f"{name} {end:.3g}" for name, end in shown if end is not None)
    return (
        f"{_count(figures['steps'], 'step')}, {ends or 'diverged'};"
        f" {figures['gradients_per_s']:,.0f} gradients/s,"
        f" {figures['examples_per_s']:,.0f} examples/s"
    )


def _trace(found: list[Measured]) -> dict[str, Series]:
    """Returns all curves; the batch size is appended to their names."""
    trace = {}
    for one in found:
        for name in ("loss", "validation_loss", "validation_accuracy"):
            if (series := many.stack(one.results, name)) is not None:
                trace[f"{name}_{one.size.batch_size}"] = many.thin(series)
    return trace


LESSON = Lesson(
    "batch_size",
    Settings,
    {
        "Problem": [Flag("problem", "string", "a problem with data: digits_mlp, ...")],
        "Training": [
            flags.OPTIMIZER,
            Flag("learning_rate", "float", "unset: the default of the optimizer"),
            Flag(
                "scale_rate",
                "string",
                "the factor of the rate of a larger batch: 1 (none), batch / smallest"
                " batch (linear), or the square root of that (sqrt)",
            ),
        ],
        "Batches": [
            Flag(
                "batch_size",
                "strings",
                f"examples in a batch, or 'full': 2 to {MAX_SIZES} values, in several"
                " flags or separated by commas. Unset: 8, 32, 128 and full",
            ),
        ],
        "Duration": [Flag("epochs", "integer", "passes over the train split")],
        "Randomness": [
            flags.SEED,
            Flag(
                "seeds",
                "integer",
                "runs of each size; the mean is reported, and the picture has a band",
            ),
        ],
        "Data": [flags.STREAM],
        "Output": flags.OUTPUT,
    },
    run,
)

if __name__ == "__main__":
    main(LESSON)
