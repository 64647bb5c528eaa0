r"""Show how optimizers descend a surface in two dimensions, until they converge.

A descent has four parts: 1 choose a start, 2 compute the gradient, 3 take a step
against it, 4 repeat from 2.

Claim:    the gradient gives the direction of descent and the optimizer the size of each
          step, so optimizers differ in the number of steps and in the end point.
Cost:     10 seconds.
Command:  python -m experiments.descent
          python -m experiments.descent --surface=rastrigin --start='4.2, -3.1'
          python -m experiments.descent --surface=saddle --start='1, 0' \
              --optimizer='sgd(0.1)' --optimizer='noisy_sgd(0.1)'
          python -m experiments.descent --optimizer='sgd(1e-3)' --optimizer='sgd(2e-3)'
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradjax
from gradjax import expressions, optimizers, problems
from gradjax.analysis import convergence
from gradjax.commands import flags, lesson
from gradjax.commands.experiment import Lesson
from gradjax.commands.flags import Flag
from gradjax.commands.main import main
from gradjax.errors import Refusal
from gradjax.plots import paths
from gradjax.problems import SURFACES, arguments
from gradjax.report import announce, descent
from gradjax.training import evaluation
from gradjax.training.numbers import checked_hparams
from gradjax.types import Hparams, LessonResult, Options, Program, Series, TrainState

_BLOCK_STEPS = 1_000  # steps in a compiled call; convergence is checked after each call
_MAX_STEPS = 100_000
_MAX_KEPT = 1_000  # points of a stored curve, at equal ratios of steps
_OPTIMIZERS = ("sgd(1e-3)", "sgd(1e-3, momentum=0.9)", "adam(0.05)", "lbfgs")
_SEED = 0  # the seed of optimizers that draw random numbers, such as noisy_sgd


class Settings(NamedTuple):
    """The settings of the lesson."""

    experiment: str
    surface: str = "rosenbrock"
    start: str | None = None  # "x, y"; None: the start that the surface defines
    optimizer: tuple[str, ...] = _OPTIMIZERS  # expressions
    schedule: str = "constant"  # an expression
    steps: int = 30_000  # the largest number of steps
    gradient_tolerance: float = 1e-4
    loss_tolerance: float = 1e-10
    patience: int = 10  # the number of successive points


class Walk(NamedTuple):
    """The values at the start and after each step of a descent."""

    params: Any  # f64[points, 2]
    loss: Any  # f64[points]
    gradient_norm: Any  # f64[points]
    num_gradients: Any  # f64[points]: gradients computed in the step from this point


def run(settings: Settings, options: Options) -> dict[str, Any]:
    """Runs each optimizer on the surface until it converges, and reports."""
    expressions.lookup(settings.surface, SURFACES, "surface")
    start = _start(settings)
    _check(settings)
    problem = problems.PROBLEMS[settings.surface](start)
    make = functools.partial(
        gradjax.program, problem, schedule=settings.schedule, num_steps=settings.steps
    )
    programs = {name: make(optimizer=name) for name in settings.optimizer}

    def compute() -> LessonResult:
        announce.rates_of_zero(programs)
        walks = {name: descend(program, settings) for name, program in programs.items()}
        return lesson_result(settings, start, walks)

    return lesson.run(settings, options, compute)


def descend(program: Program, settings: Settings) -> tuple[Walk, convergence.Ending]:
    """Takes steps until the descent converges, diverges, or has taken all its steps.

    It uses float64, because near a minimum a float32 loss stops changing too early. The
    reason of the ending is "steps" if all steps were taken.
    """
    rule = (settings.gradient_tolerance, settings.loss_tolerance, settings.patience)
    num_points = program.plan.num_steps + 1
    with jax.enable_x64(True):
        hparams = checked_hparams(program, {})
        block = jax.jit(functools.partial(walk, program, min(_BLOCK_STEPS, num_points)))
        state = jax.jit(program.init)(hparams, np.uint32(_SEED))
        seen, ending = [], None
        for first in range(0, num_points, _BLOCK_STEPS):
            state, points = block(state, hparams, np.uint32(first))
            seen.append(jax.device_get(points))
            whole = jax.tree.map(lambda *x: np.concatenate(x)[:num_points], *seen)
            ending = convergence.end_step(whole.loss, whole.gradient_norm, *rule)
            if ending is not None:
                break
    ending = ending or convergence.Ending(program.plan.num_steps, "steps")
    # The walk ends before a point that is not finite, because it cannot be drawn.
    stop = max(ending.step + (ending.reason != "diverged"), 1)
    return jax.tree.map(lambda x: x[:stop], whole), ending


def walk(
    program: Program,
    num_points: int,
    state: TrainState,
    hparams: Hparams,
    first: jax.Array,
) -> tuple[TrainState, Walk]:
    """Computes the next points of a descent with the steps of `gradjax.run`; pure.

    Args:
      program: a program whose problem has no data.
      num_points: the number of points.
      state: the state at the first point.
      hparams: f32[] each.
      first: u32[], the number of the first point.

    Returns:
      The state after the last point, and the Walk, [num_points] each. The values are
      those at the evaluated parameters: averaged, if the optimizer averages.
    """
    plan = program.plan
    per_step = float(optimizers.num_gradients(plan.optimizer))
    _, step_key = jax.random.split(jax.random.key(_SEED))

    def loss(params: Any, key: jax.Array) -> jax.Array:
        return plan.problem.loss(params, None, key)[0]

    def body(state: TrainState, i: jax.Array) -> tuple[TrainState, Walk]:
        key = jax.random.fold_in(step_key, i)
        params = evaluation.eval_params(plan, state)
        value, grads = jax.value_and_grad(loss)(params, key)
        state, info = program.step(state, None, hparams, key, i)
        spent = jnp.asarray(info.aux.get("num_gradients", per_step), float)
        return state, Walk(params, value, jnp.linalg.norm(grads), spent)

    steps = first + jnp.arange(num_points, dtype=jnp.uint32)
    return jax.lax.scan(body, state, steps)


def lesson_result(
    settings: Settings,
    start: tuple[float, float],
    found: dict[str, tuple[Walk, convergence.Ending]],
) -> LessonResult:
    """Describes the descents in a sentence, a row each, and pictures."""
    surface = SURFACES[settings.surface]
    title = f"{settings.surface} from ({start[0]:g}, {start[1]:g})"
    said = {name: _end(*one, surface.minimum) for name, one in found.items()}
    drawn = {
        name: paths.Path(
            seen.params,
            seen.loss - surface.minimum,
            descent.brief(said[name]),
            ending.reason == "diverged",
        )
        for name, (seen, ending) in found.items()
    }
    figures = {name: one._asdict() for name, one in said.items()}
    return LessonResult(
        sentence=descent.sentence(title, said),
        figures={"start": start, "minimum": surface.minimum, "descents": figures},
        rows=[(name, descent.row(one)) for name, one in said.items()],
        trace=_trace([seen for seen, _ in found.values()]),
        pictures={
            "picture.png": lambda: paths.picture(title, surface, drawn),
            "animation.gif": lambda: paths.animation(title, surface, drawn),
        },
    )


def _end(seen: Walk, ending: convergence.Ending, minimum: float) -> descent.Descended:
    return descent.Descended(
        steps=ending.step,
        reason=ending.reason,
        num_gradients=int(seen.num_gradients[: ending.step].sum()),
        point=(float(seen.params[-1, 0]), float(seen.params[-1, 1])),
        height=float(seen.loss[-1] - minimum),
        first_height=float(seen.loss[0] - minimum),
        gradient_norm=float(seen.gradient_norm[-1]),
        num_rises=int((np.diff(seen.loss) > 0.0).sum()),
        is_moving=bool((seen.params[-2:] != seen.params[-1]).any()),
    )


def _trace(walks: list[Walk]) -> dict[str, Series]:
    """Returns curves [optimizers, points]; a shorter curve is filled with NaN."""
    last = max(len(one.loss) for one in walks)
    counted = np.geomspace(1, last, min(_MAX_KEPT, last))
    steps = np.unique(np.rint(counted).astype(int)) - 1

    def kept(values: list[np.ndarray]) -> Series:
        ends = [(0, last - len(one)) for one in values]
        rows = map(functools.partial(np.pad, constant_values=np.nan), values, ends)
        return Series(steps, np.stack(list(rows))[:, steps])

    return {
        "loss": kept([one.loss for one in walks]),
        "gradient_norm": kept([one.gradient_norm for one in walks]),
        "x": kept([one.params[:, 0] for one in walks]),
        "y": kept([one.params[:, 1] for one in walks]),
    }


def _start(settings: Settings) -> tuple[float, float]:
    """Returns the start as two numbers in the domain of the surface.

    Raises:
        Refusal: the start is not two numbers, or is outside the domain.
    """
    surface = SURFACES[settings.surface]
    if settings.start is None:
        return surface.start
    try:
        x, y = map(float, settings.start.strip(" ()").split(","))
    except ValueError:
        example = "'{}, {}'".format(*surface.start)
        raise Refusal(
            f"--start={settings.start!r}: expected two numbers, such as {example}"
        ) from None
    return (
        arguments.number("--start: x", x, *surface.xlim),
        arguments.number("--start: y", y, *surface.ylim),
    )


def _check(settings: Settings) -> None:
    """Refuses counts and tolerances out of range, and repeated or too many optimizers.

    Raises:
        Refusal: with the flag, its value and the allowed values.
    """
    names = settings.optimizer
    if len(names) > paths.MAX_PATHS:
        raise Refusal(f"--optimizer: {len(names)} of them; at most {paths.MAX_PATHS}")
    for name in names:
        if names.count(name) > 1:
            raise Refusal(f"--optimizer={name}: given twice")
    arguments.whole("--steps", settings.steps, 1, _MAX_STEPS)
    arguments.number("--gradient_tolerance", settings.gradient_tolerance, 0.0, 1e3)
    arguments.number("--loss_tolerance", settings.loss_tolerance, 0.0, 1e3)
    arguments.whole("--patience", settings.patience, 1, _MAX_STEPS)


LESSON = Lesson(
    "descent",
    Settings,
    {
        "Problem": [
            Flag("surface", "string", f"the surface: {', '.join(sorted(SURFACES))}"),
            Flag("start", "string", "'x, y' in its domain. Unset: depends on surface"),
        ],
        "Training": [
            flags.OPTIMIZER._replace(
                kind="strings",
                help=f"the optimizer of a path, up to {paths.MAX_PATHS} times:"
                f" {flags.OPTIMIZER.help}",
            ),
            flags.SCHEDULE,
        ],
        "Duration": [
            Flag("steps", "integer", "the most steps; a schedule extends over them"),
            Flag(
                "gradient_tolerance",
                "float",
                "stop if the norm of the gradient is below this value at --patience"
                " successive points",
            ),
            Flag(
                "loss_tolerance",
                "float",
                "stop if the loss changes by less than this value times max(1, |loss|)"
                " at --patience successive points",
            ),
            Flag(
                "patience",
                "integer",
                "the number of successive points that show convergence. One point does"
                " not, because momentum crosses the bottom of a valley at full speed,"
                " and multi_steps leaves the parameters unchanged in most steps",
            ),
        ],
        "Output": flags.OUTPUT,
    },
    run,
)

if __name__ == "__main__":
    main(LESSON)
