r"""Compare the gradient of a loss with difference quotients, and measure their errors.

Claim:    central difference quotients of the loss approximate the gradient of jax.grad,
          but no step h makes them exact. The truncation error grows as h^2 and the
          rounding error as 1 / h, so the best step is near eps^(1/3).
Cost:     seconds.
Command:  python -m experiments.gradient
          python -m experiments.gradient --surface=rastrigin --seed=3
          python -m experiments.gradient --surface=beale --point='2, -1'

Every error, also in float32, is the distance to the slope that jax.grad gives in
float64, whose relative error is about 1e-16. Point, direction and steps are first
rounded to float32, so that both precisions use the same values. Rounding errors are
nearly random, so the best step is the one with the least median error over half a
decade of steps. If h d is too short to change the point p, the quotient is 0 and its
error is the slope itself: the flat part of the curve of float32. The theory is in
gradjax/derivatives/differences.py.
"""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

from gradjax import expressions
from gradjax.commands import flags, lesson
from gradjax.commands.experiment import Lesson
from gradjax.commands.flags import Flag
from gradjax.commands.main import main
from gradjax.derivatives import differences
from gradjax.derivatives.differences import Exponents, Line, Quotients
from gradjax.errors import Refusal
from gradjax.plots.gradient_error import Field, gradient_error
from gradjax.problems import SURFACES, arguments
from gradjax.problems.surfaces import Surface
from gradjax.types import LessonResult, Options, Series

_SHORTEST, _LONGEST = 1e-12, 1.0  # the range of steps
_ARROWS = 19  # arrows per side of the grid


class Settings(NamedTuple):
    """The settings of the lesson."""

    experiment: str
    surface: str = "rosenbrock"  # a name in SURFACES
    point: str | None = None  # "x, y"; None: the start that the surface defines
    num_steps: int = 1_000  # the number of steps h
    seed: int = 0  # the seed of the direction


class Measured(NamedTuple):
    """The measurements along a line."""

    name: str  # the name of the surface
    line: Line
    quotients: tuple[Quotients, Quotients]  # in float64 and in float32
    exponents: tuple[Exponents, Exponents]


def run(settings: Settings, options: Options) -> dict[str, Any]:
    """Checks the settings, measures, and reports."""
    surface = expressions.lookup(settings.surface, SURFACES, "surface")
    arguments.whole("--num_steps", settings.num_steps, 100, 10_000)
    arguments.whole("--seed", settings.seed, 0, 2**32 - 1)
    point = surface.start
    if settings.point is not None:
        point = _parse_point(settings.point, surface)
        settings = settings._replace(point=f"{point[0]!r}, {point[1]!r}")
    return lesson.run(settings, options, lambda: _find(settings, surface, point))


def _parse_point(text: str, surface: Surface) -> tuple[float, float]:
    """Parses "x, y" as a point in the domain of the surface."""
    said = f"--point={text if len(text) <= 40 else text[:37] + '...'!r}"
    try:
        x, y = map(float, text.split(","))
    except ValueError as error:
        expected = "expected two numbers, such as '0.5, -1'"
        raise Refusal(f"{said}: {expected}") from error
    domain = (("x", x, surface.xlim), ("y", y, surface.ylim))
    for name, value, (low, high) in domain:
        if not low <= value <= high:
            raise Refusal(f"{said}: {name} must lie from {low:g} to {high:g}")
    return x, y


def _find(
    settings: Settings, surface: Surface, point: tuple[float, float]
) -> LessonResult:
    """Measures both precisions along a line."""
    direction = np.random.default_rng(settings.seed).normal(size=2)
    steps = np.geomspace(_SHORTEST, _LONGEST, settings.num_steps)

    def loss(params: jax.Array) -> Any:
        return surface.function(params[0], params[1])

    with jax.enable_x64(True):
        line = differences.line(loss, point, direction, steps)
        double = differences.quotients(line, np.float64)
        single = differences.quotients(line, np.float32)
        points, grads = _gradients(surface, loss)
    both = (double, single)
    fits = (differences.exponents(line, double), differences.exponents(line, single))
    measured = Measured(settings.surface, line, both, fits)
    field = Field(surface, points, -grads, line.point, line.direction)
    title = f"What a gradient is: {settings.surface} at ({_format_point(line.point)})"
    draw = functools.partial(gradient_error, title, line, both, field)
    return LessonResult(
        _sentence(measured),
        _figures(measured),
        _rows(measured),
        _trace(measured),
        {"picture.png": draw},
    )


def _gradients(surface: Surface, loss: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the centres of the cells of a grid and the gradients, f64[points, 2]."""
    parts = (np.arange(_ARROWS) + 0.5) / _ARROWS
    sides = [low + (high - low) * parts for low, high in (surface.xlim, surface.ylim)]
    points = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)
    return points, np.asarray(jax.jit(jax.vmap(jax.grad(loss)))(points))


def _format_point(point: Any) -> str:
    return f"{point[0]:.6g}, {point[1]:.6g}"


def _sentence(measured: Measured) -> str:
    line, (double, single) = measured.line, measured.quotients
    errors = " and ".join(
        f"by {_error(one.typical[one.best])} at their best step"
        f" {line.steps[one.best]:.1e} in {one.name}"
        for one in (double, single)
    )
    return (
        "The gradient gives the slope of the loss in every direction: on"
        f" {measured.name} at ({_format_point(line.point)}) the slope in a random"
        f" direction is {line.derivatives[1]:.5g}; central differences differ from it"
        f" {errors}{_reason(measured)}; jax.grad needs no step, and differs from it by"
        f" {_error(single.gradient)} in float32."
    )


def _reason(measured: Measured) -> str:
    """Explains the best step by the measured exponents in float64, the clearer case."""
    fits = measured.exponents[0]
    sides = [
        f"as h^{exponent:.2f} {where} this step (theory {theory})"
        for exponent, where, theory in (
            (fits.truncation, "above", 2),
            (fits.rounding, "below", -1),
        )
        if exponent is not None
    ]
    why = [f"the error varies {' and '.join(sides)}"] if sides else []
    if measured.line.derivatives[3] == 0.0:
        why.append("a longer step costs nothing, as the third derivative is 0")
    return f", because {' and '.join(why)}" if why else ""


def _figures(measured: Measured) -> dict[str, Any]:
    line = measured.line
    figures: dict[str, Any] = {
        "point": line.point.tolist(),
        "direction": line.direction.tolist(),
        "slope": float(line.derivatives[1]),
        "third_derivative": float(line.derivatives[3]),
    }
    for one, fits in zip(measured.quotients, measured.exponents, strict=True):
        figures[one.name] = {
            "best_step": float(line.steps[one.best]),
            "best_step_in_theory": differences.best_in_theory(line, one),
            "smallest_error": float(one.typical[one.best]),
            "exponents": fits._asdict(),
            "jax_grad_error": one.gradient,
        }
    return figures


def _rows(measured: Measured) -> list[tuple[str, str]]:
    line = measured.line
    x, y = line.direction
    rows = [
        ("slope, by jax.grad in float64", f"{line.derivatives[1]:.10g}"),
        ("its direction", f"{x:.4f}, {y:.4f}"),
    ]
    for one, fits in zip(measured.quotients, measured.exponents, strict=True):
        theory = differences.best_in_theory(line, one)
        known = "" if theory is None else f" (theory {theory:.1e})"
        rows += [
            (f"{one.name}: best step", f"{line.steps[one.best]:.1e}{known}"),
            (f"{one.name}: error there", _error(one.typical[one.best])),
            (f"{one.name}: longer steps", f"{_power(fits.truncation)} (theory h^2)"),
            (f"{one.name}: shorter steps", f"{_power(fits.rounding)} (theory h^-1)"),
            (f"{one.name}: forward", f"{_power(fits.forward)} (theory h^1)"),
        ]
    single = measured.quotients[1]
    return [*rows, ("float32: error of jax.grad", _error(single.gradient))]


def _error(value: float) -> str:
    return f"{value:.1e}" if value else "0"


def _power(exponent: float | None) -> str:
    return "not measurable" if exponent is None else f"h^{exponent:.2f}"


def _trace(measured: Measured) -> dict[str, Series]:
    """Returns the errors, with h in place of the steps of other traces."""
    steps, trace = measured.line.steps, {}
    for one in measured.quotients:
        trace[f"{one.name}_central"] = Series(steps, one.central)
        trace[f"{one.name}_forward"] = Series(steps, one.forward)
        trace[f"{one.name}_median"] = Series(steps, one.typical)
    return trace


LESSON = Lesson(
    "gradient",
    Settings,
    {
        "Problem": [
            Flag("surface", "string", f"one of {', '.join(sorted(SURFACES))}"),
            Flag(
                "point",
                "string",
                "'x, y' in the domain of the surface. Unset: depends on the surface",
            ),
        ],
        "Training": [
            Flag(
                "num_steps",
                "integer",
                "the number of steps h in equal ratios from 1e-12 to 1: 100 to 10,000",
            ),
        ],
        "Randomness": [
            Flag("seed", "integer", "the seed of the direction of the slope")
        ],
        "Output": flags.OUTPUT,
    },
    run,
)

if __name__ == "__main__":
    main(LESSON)
