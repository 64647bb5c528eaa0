r"""Gradient descent on a schedule: the final loss of a run can be differentiated.

Claim:    the final loss of a run has a gradient in every point of its schedule.
          Following it turns the best constant learning rate into a decaying one, which
          ends with a lower loss on seeds that the descent did not use.
Cost:     half a minute, most of it to compile a run and its gradient.
Command:  python -m experiments.schedule_gradient
          python -m experiments.schedule_gradient --start=cosine
          python -m experiments.schedule_gradient --points=8 --steps=400
          python -m experiments.schedule_gradient --problem=digits_mlp --batch_size=32 \
              --steps=100 --optimizer='adam(eps_root=1e-16)' --headroom=2

The schedule consists of `points` numbers in [0, 1], with straight lines between them,
multiplied by a peak. First the peaks of a constant, of a cosine and of `start` are
tuned on the seeds of the descent; each is the best of 25. The descent begins at the
best `start`, with a peak that is `headroom` times as high, so that the schedule can
also rise. Each step is one of Adam on the mean gradient over the seeds, which are the
same in every step (common random numbers); after it the numbers are clipped to [0, 1].
The schedule with the lowest mean loss on those seeds is kept. Finally all schedules
train with fresh seeds, and their losses are compared in pairs.

The default problem is the noisy quadratic model (Zhang et al. 2019). Its theory
predicts large steps while the parameters are far from the minimum, and small steps when
only the noise remains.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradjax
from gradjax import optimizers, problems, schedules, types
from gradjax.commands import experiment, flags, lesson
from gradjax.commands.experiment import Lesson
from gradjax.commands.flags import Flag
from gradjax.commands.main import main
from gradjax.derivatives.hypergradients import hypergradient, require_finite
from gradjax.errors import Refusal
from gradjax.plots.schedule_gradient import schedule_gradient as draw_schedules
from gradjax.problems import arguments
from gradjax.report import schedule_gradient as report
from gradjax.report import terminal
from gradjax.report.schedule_gradient import LEARNED, Learned, Tuned
from gradjax.trials import batches
from gradjax.trials.batches import Lanes
from gradjax.trials.lane_width import default_width
from gradjax.trials.lanes import lanes as make_lanes
from gradjax.types import LessonResult, Options, Program, Series

_BELOW, _ABOVE = 1 / 30, 30.0  # range of the tuned peaks, times the default rate
_NUM_RATES = 25
_VALUES = "schedule.values"
_B1, _B2 = 0.9, 0.99  # for the outer Adam, because its gradients change slowly


class Settings(NamedTuple):
    """The settings of the lesson."""

    experiment: str
    problem: str = "noisy_quadratic(dim=100)"  # an expression
    optimizer: str = "sgd"  # an expression
    batch_size: int | None = None  # None: all training data
    steps: int = 200  # the number of steps of each run
    start: str = "constant"  # an expression: the schedule at which the descent begins
    points: int = 16
    headroom: float = 4.0
    outer_steps: int = 40
    outer_rate: float = 0.05
    seed: int = 0  # the first seed
    seeds: int = 32  # the number of seeds of the descent
    fresh: int = 32  # the number of seeds that compare the schedules


class Path(NamedTuple):
    """The schedule before each outer step, with its losses and its gradient."""

    values: np.ndarray  # f32[outer, points]
    losses: np.ndarray  # f32[outer, trials]
    grads: np.ndarray  # f32[outer, points]: means over the trials


def run(settings: Settings, options: Options) -> dict[str, Any]:
    """Checks the settings, tunes the schedules, descends and compares."""
    _check(settings)
    problem = problems.make(settings.problem)
    if problem.data is None and settings.batch_size is not None:
        said = f"--batch_size={settings.batch_size}"
        raise Refusal(f"{said}: {settings.problem} has no data")
    _, numbers = optimizers.split(settings.optimizer)
    if not numbers.get(optimizers.RATE):
        raise Refusal(
            f"--optimizer={settings.optimizer}: it has no learning rate to schedule, or"
            " gives its own, or its own is 0"
        )
    program = gradjax.program(
        problem,
        settings.optimizer,
        [1.0] * settings.points,
        num_steps=settings.steps,
        batch_size=settings.batch_size,
    )
    has_split = problem.data is not None and problem.data.validation is not None
    split = "validation" if has_split else "train"
    gradient = hypergradient(program, split)
    find = functools.partial(_find, settings, program, split, gradient)
    return lesson.run(settings, options, find)


def _check(settings: Settings) -> None:
    """Checks the numbers and the expressions that do not depend on the problem."""
    arguments.whole("--steps", settings.steps, 2, 10_000)
    arguments.whole("--points", settings.points, 2, 200)
    arguments.whole("--outer_steps", settings.outer_steps, 1, 1_000)
    arguments.whole("--seeds", settings.seeds, 1, 1_000)
    arguments.whole("--fresh", settings.fresh, 2, 1_000)
    arguments.number("--headroom", settings.headroom, 1.0, 100.0)
    arguments.number("--outer_rate", settings.outer_rate, 1e-6, 1.0)
    experiment.check(
        types.Settings(
            settings.experiment,
            optimizer=settings.optimizer,
            batch_size=settings.batch_size,
            schedule=settings.start,
            steps=settings.steps,
            seed=settings.seed,
            seeds=settings.seeds + settings.fresh,
        )
    )


def _find(
    settings: Settings, program: Program, split: str, gradient: Any
) -> LessonResult:
    """Tunes the schedules, descends, and compares them with fresh seeds."""
    seeds = list(range(settings.seed, settings.seed + settings.seeds))
    lanes = make_lanes(program, default_width(program), num_devices=1)
    shapes = {name: _points(name, settings) for name in ("constant", "cosine")}
    shapes[settings.start] = _points(settings.start, settings)
    if not shapes[settings.start].any():
        terminal.say(f"{settings.start}: the learning rate is 0 in every step")
    tuned = {
        name: _tune(lanes, split, values, seeds) for name, values in shapes.items()
    }
    said = ", ".join(f"{name} {one.peak:.3g}" for name, one in tuned.items())
    terminal.say(f"the best of {_NUM_RATES} learning rates, {len(seeds)} seeds: {said}")
    start = tuned[settings.start]
    peak = start.peak * settings.headroom
    measure = _in_batches(gradient, peak, seeds, lanes.width)
    path = _descend(settings, measure, start.values / np.float32(settings.headroom))
    best = int(path.losses.mean(axis=1).argmin())
    tuned[LEARNED] = Tuned(peak, path.values[best])
    fresh = _compare(lanes, tuned, seeds[-1] + 1, settings.fresh)
    what = f"{settings.steps:,} steps of {settings.optimizer} on {settings.problem}"
    found = Learned(what, settings.start, split, tuned, path.losses, fresh)
    rates = {name: _rates(settings, one) for name, one in tuned.items()}
    descent = Series(np.arange(len(path.losses)), path.losses.T)
    loss_name = "loss" if split == "train" else f"{split} loss"
    draw = functools.partial(
        draw_schedules, what, rates, descent, fresh[split], loss_name
    )
    return LessonResult(
        report.sentence(found),
        report.figures(found),
        report.rows(found),
        {**rates, "descent": descent},
        {"picture.png": draw},
    )


def _rates(settings: Settings, tuned: Tuned) -> Series:
    """Returns the learning rate over steps, at the points of its schedule."""
    steps = np.linspace(0.0, settings.steps, settings.points)
    return Series(steps, tuned.peak * tuned.values)


def _points(expression: str, settings: Settings) -> np.ndarray:
    """Returns a schedule at equally spaced points of the run: f32[points]."""
    spec, numbers = schedules.split(expression, settings.steps)
    progress = np.linspace(0.0, 1.0, settings.points, dtype=np.float32)
    shape = functools.partial(schedules.shape_at, spec, numbers)
    return np.clip([shape(jnp.asarray(part)) for part in progress], 0.0, 1.0)


def _losses(
    lanes: Lanes, settings: list[Tuned], seeds: list[int]
) -> dict[str, np.ndarray]:
    """Trains; returns {split: final losses f32[settings, trials]}, NaN if diverged."""
    numbers = [{optimizers.RATE: one.peak, _VALUES: one.values} for one in settings]
    trials = batches.run(
        lanes,
        [one for one in numbers for _ in seeds],
        [s for _ in settings for s in seeds],
    )
    shape = (len(settings), len(seeds))
    return {
        split: np.reshape(means["loss"], shape)
        for split, means in trials.evaluation.items()
    }


def _tune(lanes: Lanes, split: str, values: np.ndarray, seeds: list[int]) -> Tuned:
    """Returns the schedule of one shape with the best of several peaks."""
    own = float(lanes.program.hparams[optimizers.RATE])
    peaks = np.geomspace(own * _BELOW, own * _ABOVE, _NUM_RATES)
    tried = [Tuned(float(peak), values) for peak in peaks]
    means = _losses(lanes, tried, seeds)[split].mean(axis=1)
    if not np.isfinite(means).any():
        rates = f"from {peaks[0]:.3g} to {peaks[-1]:.3g}"
        raise Refusal(f"a run diverges at every learning rate that was tried, {rates}")
    return tried[int(np.nanargmin(means))]


def _in_batches(gradient: Any, peak: float, seeds: list[int], width: int) -> Any:
    """Returns the function values f32[points] -> losses f32[trials], mean gradient."""
    roots, batch_size = np.asarray(seeds, np.uint32), min(width, len(seeds))

    def measure(values: jax.Array) -> tuple[jax.Array, jax.Array]:
        def one(seed: jax.Array) -> tuple[jax.Array, jax.Array]:
            hparams = {optimizers.RATE: jnp.float32(peak), _VALUES: values}
            value, grads = gradient(hparams, seed)
            return value, grads[_VALUES]

        losses, grads = jax.lax.map(one, jnp.asarray(roots), batch_size=batch_size)
        return losses, grads.mean(axis=0)

    return jax.jit(measure)


def _descend(settings: Settings, measure: Any, values: np.ndarray) -> Path:
    """Takes Adam steps on the numbers of a schedule, clipped to [0, 1] after each."""
    rule = optax.adam(settings.outer_rate, _B1, _B2)
    state = rule.init(jnp.asarray(values))
    points = []
    for number in range(settings.outer_steps + 1):
        losses, grads = measure(jnp.asarray(values))
        if number and not np.isfinite(losses).all():
            said = f"outer step {number} led to a run that diverges"
            terminal.say(f"{said}, so the descent ends")
            break
        require_finite(losses.mean(), {_VALUES: grads})
        points.append((values, np.asarray(losses), np.asarray(grads)))
        updates, state = rule.update(grads, state)
        values = np.clip(values + np.asarray(updates), 0.0, 1.0)
    return Path(*(np.stack(column) for column in zip(*points, strict=True)))


def _compare(
    lanes: Lanes, tuned: dict[str, Tuned], first: int, count: int
) -> dict[str, dict[str, np.ndarray]]:
    """Returns {split: {schedule: losses f32[trials]}} with seeds that chose nothing."""
    ends = _losses(lanes, list(tuned.values()), list(range(first, first + count)))
    return {split: dict(zip(tuned, rows, strict=True)) for split, rows in ends.items()}


LESSON = Lesson(
    "schedule_gradient",
    Settings,
    {
        "Problem": [
            Flag("problem", "string", "a name, or a call such as 'quadratic(dim=5)'"),
        ],
        "Training": [
            flags.OPTIMIZER,
            Flag("batch_size", "integer", "examples in a batch. Unset: all of them"),
            Flag("steps", "integer", "the steps of each run: from 2 to 10,000"),
        ],
        "Schedule": [
            Flag("start", "string", "the first schedule: constant, cosine, wsd, ..."),
            Flag("points", "integer", "the points of the schedule: from 2 to 200"),
            Flag(
                "headroom",
                "float",
                "the limit of the learning rate, divided by the best peak of the start",
            ),
        ],
        "Descent of the schedule": [
            Flag("outer_steps", "integer", "steps of the descent: from 1 to 1,000"),
            Flag(
                "outer_rate",
                "float",
                "the learning rate of Adam on the numbers of the schedule, in [0, 1]",
            ),
        ],
        "Randomness": [
            flags.SEED,
            Flag("seeds", "integer", "the number of seeds that the descent uses"),
            Flag("fresh", "integer", "the number of other seeds for the comparison"),
        ],
        "Output": flags.OUTPUT,
    },
    run,
)

if __name__ == "__main__":
    main(LESSON)
