r"""Too small, right, too large: the effect of the learning rate on a descent.

Claim:    a larger learning rate lowers the loss further, up to an edge above which the
          loss grows; with sgd on a quadratic the sweep finds this edge within 0.1 % of
          2 / (largest curvature).
Cost:     a few seconds: one program is compiled, and it runs once per rate.
Command:  python -m experiments.learning_rate
          python -m experiments.learning_rate --optimizer='sgd(momentum=0.9)'
          python -m experiments.learning_rate --problem=logistic_regression
          python -m experiments.learning_rate --problem=digits_mlp --steps=200

Every step uses all training data. A loss grows if it ends well above its least value;
gradjax/analysis/stability.py gives the exact rule. The edge is the smallest rate above
the best one at which the loss grows, and a bisection with the same program finds it to
0.1 %. A rate is right if the logarithm of its loss falls by at least half as much as
that of the best rate.
"""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

import gradjax
from gradjax import optimizers, problems, types
from gradjax.analysis import stability
from gradjax.analysis.stability import Edge, Outcome, Sweep
from gradjax.commands import experiment, flags, lesson
from gradjax.commands.experiment import Lesson
from gradjax.commands.flags import Flag
from gradjax.commands.main import main
from gradjax.errors import Refusal
from gradjax.plots.sensitivity import Curve, Mark, Notes, Points, sensitivity
from gradjax.problems import arguments, randomness
from gradjax.report import terminal
from gradjax.types import LessonResult, Options, Problem, Program, Series, TracedNumber

_BELOW, _ABOVE = 1e-2, 1e3  # range of the sweep, times the optimizer's default rate
_NAMES = ", ".join(sorted(problems.PROBLEMS))
_TOLERANCE = 1e-3  # relative tolerance of the bisection
_SMALL, _LARGE = 0.2, 1.005  # rates of the shown runs, times the ends of the right ones


class Settings(NamedTuple):
    """The settings of the lesson."""

    experiment: str
    problem: str = "quadratic(condition=100)"  # an expression
    optimizer: str = "sgd"  # an expression
    steps: int = 1_000
    low: float | None = None  # None: the optimizer's default rate / 100
    high: float | None = None  # None: the optimizer's default rate x 1,000
    num_rates: int = 41
    seed: int = 0  # the seed of the initial parameters


class Found(NamedTuple):
    """The results of the lesson."""

    settings: Settings
    sweep: Sweep
    theory: Edge | None


def run(settings: Settings, options: Options) -> dict[str, Any]:
    """Checks the settings, sweeps the learning rate and shows the results."""
    arguments.whole("--steps", settings.steps, 20, 100_000)
    arguments.whole("--num_rates", settings.num_rates, 3, 201)
    optimizer, seed = settings.optimizer, settings.seed
    base = types.Settings(settings.experiment, optimizer=optimizer, seed=seed)
    experiment.check(base)
    rates = _rates(settings)
    with jax.enable_x64(True):  # in float32, loss - minimum has few correct digits
        problem = problems.make(settings.problem)
        if randomness.is_random(problem):
            raise Refusal(
                f"--problem={settings.problem}: the noise in its loss, which is drawn"
                " anew at every step, would look like growth"
            )
        program = gradjax.program(problem, optimizer, num_steps=settings.steps)
        find = functools.partial(_find, settings, problem, program, rates)
        return lesson.run(settings, options, find)


def _rates(settings: Settings) -> list[float]:
    """Returns the rates of the sweep, a geometric sequence from --low to --high.

    Raises:
        Refusal: the optimizer has no free learning rate, or the range is not valid.
    """
    _, numbers = optimizers.split(settings.optimizer)
    if optimizers.RATE not in numbers:
        raise Refusal(
            f"--optimizer={settings.optimizer}: it has no learning rate to sweep, or"
            " gives its own"
        )
    own = numbers[optimizers.RATE]
    low = own * _BELOW if settings.low is None else settings.low
    high = own * _ABOVE if settings.high is None else settings.high
    for name, value in (("--low", low), ("--high", high)):
        arguments.number(name, value, 1e-12, 1e12)
    if not low < high:
        raise Refusal(f"--low={low:g}: must be below --high, which is {high:g}")
    return [float(rate) for rate in np.geomspace(low, high, settings.num_rates)]


def _find(
    settings: Settings, problem: Problem, program: Program, rates: list[float]
) -> LessonResult:
    """Sweeps the rate, bisects the edge, and repeats the runs shown in the picture."""
    terminal.say(
        f"{settings.problem}, {settings.optimizer}: one program, run at {len(rates)}"
        f" learning rates from {rates[0]:.3g} to {rates[-1]:.3g}"
    )
    runs = [_losses(program, settings.seed, rate) for rate in rates]
    level, height = _level(problem, [losses for losses, _ in runs])

    def outcome(rate: float) -> Outcome:
        return stability.outcome(rate, *_losses(program, settings.seed, rate), level)

    pairs = zip(rates, runs, strict=True)
    outcomes = [stability.outcome(rate, *run, level) for rate, run in pairs]
    sweep = stability.sweep(outcomes, lambda rate: outcome(rate).is_growing, _TOLERANCE)
    found = Found(settings, sweep, _theory(problem, program))
    shown = {name: outcome(rate) for name, rate in _shown_rates(sweep).items()}
    draw = functools.partial(
        sensitivity,
        f"{settings.problem}: {settings.steps:,} steps of {settings.optimizer}",
        {"after the last step": Points(rates, [one.final for one in outcomes])},
        "learning rate",
        height,
        _notes(found, shown),
    )
    said, figures, rows = _sentence(found), _figures(found), _rows(found)
    trace = _trace(sweep, shown)
    return LessonResult(said, figures, rows, trace, {"picture.png": draw})


def _losses(program: Program, seed: int, rate: float) -> tuple[np.ndarray, float]:
    """Trains at one rate; returns the losses f[steps] and the loss after the last."""
    with np.errstate(over="ignore"):  # a growing loss overflows in float32
        result = gradjax.run(program, {optimizers.RATE: rate}, seed)
    losses = result.trace["loss"].values
    return losses, result.evaluation["train"].get("loss", float(losses[-1]))


def _level(problem: Problem, runs: list[np.ndarray]) -> tuple[float, str]:
    """Returns the least possible loss, and the name of the loss minus this value."""
    if problem.minimum is not None:
        return problem.minimum.loss, "loss above the minimum"
    values = np.concatenate(runs)
    least = float(values[np.isfinite(values)].min(initial=np.inf))
    return (0.0, "loss") if least > 0.0 else (least, "loss above the least seen")


def _theory(problem: Problem, program: Program) -> Edge | None:
    """Returns the edge in closed form, for sgd and a known largest curvature."""
    minimum, spec = problem.minimum, program.plan.optimizer
    is_sgd = spec.entry is optimizers.OPTIMIZERS["sgd"] and not spec.scheduled
    if minimum is None or minimum.curvature is None or not is_sgd:
        return None
    given = dict(spec.kwargs)
    number, nesterov = given.get("momentum"), bool(given.get("nesterov"))
    momentum = program.hparams[number.path] if isinstance(number, TracedNumber) else 0.0
    return stability.edge(minimum.curvature[1], momentum, nesterov)


def _shown_rates(sweep: Sweep) -> dict[str, float]:
    """Returns {region: rate} of the runs whose losses are shown over steps."""
    rates = {}
    if sweep.too_small is not None:
        rates["too small"] = sweep.too_small * _SMALL
    if sweep.best is not None:
        rates["right"] = sweep.best.rate
    if sweep.edge is not None:
        rates["too large"] = sweep.edge[1] * _LARGE
    elif sweep.too_large is not None:
        rates["too large"] = sweep.too_large / _SMALL
    return rates


def _notes(found: Found, shown: dict[str, Outcome]) -> Notes:
    """Returns what the picture shows in addition to the sweep."""
    sweep, theory = found.sweep, found.theory
    right = (sweep.too_small or 0.0, sweep.too_large or np.inf)
    if sweep.best is None:
        right = (0.0, 0.0)
    marks = []
    if sweep.edge is not None:
        marks.append(Mark(sweep.edge[0], f"edge found: {sweep.edge[0]:.5g}"))
    if theory is not None:
        label = f"theory: {theory.formula} = {theory.rate:.5g}"
        marks.append(Mark(theory.rate, label, is_theory=True))
    curves = [
        Curve(region, f"{one.rate:.4g}: {region}", _over_steps(one))
        for region, one in shown.items()
    ]
    start = float(sweep.outcomes[0].heights[0])
    return Notes(start if np.isfinite(start) else None, right, marks, curves)


def _over_steps(one: Outcome) -> Series:
    """Returns the heights, each at the number of steps taken before it."""
    return Series(np.arange(len(one.heights)), one.heights)


def _sentence(found: Found) -> str:
    settings, sweep, theory = found
    low, high = sweep.outcomes[0].rate, sweep.outcomes[-1].rate
    what = f"{settings.steps:,} steps of {settings.optimizer} on {settings.problem}"
    tried = f"Of {len(sweep.outcomes)} learning rates from {low:.3g} to {high:.3g}"
    if sweep.best is None:
        return f"{tried} all are too large: the loss grows in {what}"
    said = [f"{tried}, {sweep.best.rate:.3g} gives the lowest loss after {what}"]
    if sweep.too_small is not None:
        few = "(too small) the logarithm of the loss falls less than half as much"
        said.append(f"below {sweep.too_small:.3g} {few}")
    edge, large = sweep.edge, sweep.too_large
    is_slow = large is not None and (edge is None or large < edge[0])
    if is_slow:
        said.append(f"above {large:.3g} (too large) the same holds")
    label = "" if is_slow else " (too large)"
    grows = f"above {edge[0]:.6g}{label} the loss grows" if edge else None
    said.append(grows or "none makes the loss grow")
    if theory is not None:
        said[-1] += f", in theory above {theory.formula} = {theory.rate:.6g}"
    return "; ".join(said)


def _figures(found: Found) -> dict[str, Any]:
    sweep, theory = found.sweep, found.theory
    best, edge = sweep.best, sweep.edge
    return {
        "best_rate": best and best.rate,
        "best_height": best and best.final,
        "edge_found": edge and edge[0],
        "edge_bracket": edge,
        "edge_theory": theory and theory.rate,
        "ratio": edge[0] / theory.rate if edge and theory else None,
        "too_small_below": sweep.too_small,
        "too_large_above": sweep.too_large,
        "start_height": float(sweep.outcomes[0].heights[0]),
        "num_rates": len(sweep.outcomes),
        "num_growing": sum(one.is_growing for one in sweep.outcomes),
    }


def _rows(found: Found) -> list[tuple[str, str]]:
    sweep, theory, figures = found.sweep, found.theory, _figures(found)
    grew = f"{figures['num_growing']} of {figures['num_rates']}"
    rows = [("rates at which the loss grew", grew)]
    if sweep.best is not None:
        is_end = any(sweep.best is sweep.outcomes[k] for k in (0, -1))
        hint = ", an end of the sweep: --low and --high widen it" if is_end else ""
        start, end = figures["start_height"], figures["best_height"]
        rows.append(("best rate", f"{sweep.best.rate:.4g}{hint}"))
        rows.append(("its loss at the start, at the end", f"{start:.3g}, {end:.3g}"))
    if sweep.edge is not None:
        low, high = sweep.edge
        rows.append(("edge found", f"loss falls at {low:.6g}, grows at {high:.6g}"))
    if theory is not None:
        rows.append(("edge in theory", f"{theory.formula} = {theory.rate:.6g}"))
    if figures["ratio"] is not None:
        rows.append(("found / theory", f"{figures['ratio']:.5f}"))
    return rows


def _trace(sweep: Sweep, shown: dict[str, Outcome]) -> dict[str, Series]:
    """Returns the final heights over rates, in place of steps, and the shown curves."""
    rates = np.array([one.rate for one in sweep.outcomes])
    trace = {"final": Series(rates, np.array([one.final for one in sweep.outcomes]))}
    for region, one in shown.items():
        trace[region.replace(" ", "_")] = _over_steps(one)
    return trace


LESSON = Lesson(
    "learning_rate",
    Settings,
    {
        "Problem": [
            Flag("problem", "string", f"a name or 'quadratic(dim=5)'. Names: {_NAMES}"),
        ],
        "Training": [flags.OPTIMIZER],
        "Learning rates": [
            Flag("low", "float", "the lowest. Unset: the optimizer's default / 100"),
            Flag("high", "float", "the highest. Unset: the default x 1,000"),
            Flag("num_rates", "integer", "rates, in a geometric sequence: 3 to 201"),
        ],
        "Duration": [Flag("steps", "integer", "steps of a run: from 20 to 100,000")],
        "Randomness": [Flag("seed", "integer", "the seed of the initial parameters")],
        "Output": flags.OUTPUT,
    },
    run,
)

if __name__ == "__main__":
    main(LESSON)
