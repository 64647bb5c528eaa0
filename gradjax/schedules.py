"""Learning-rate schedules: shapes in [0, 1] over a run, times a traced peak.

A shape is a function (progress, **arguments) -> f32[], where progress = i / num_steps
runs over [0, 1). It is branch-free, so its arguments may be traced, mapped over trials
and differentiated. An argument annotated `Fraction` is a part of the run: given as a
float it is that fraction, given as an int it is a number of steps; inside there are
only fractions.
"""

import inspect
import math
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradjax import spec
from gradjax.errors import Refusal
from gradjax.types import Call, Hparams, Leaf, ScheduleSpec

Fraction = Annotated[Any, "f32[] in [0, 1]: a part of the run"]
Fractions = Annotated[Any, "a sorted tuple of them"]
_POSITIVE = ("power",)  # arguments that need not lie in [0, 1]
_SLACK = 2.0**-22


def constant(progress: jax.Array) -> jax.Array:
    """1 throughout."""
    return jnp.ones_like(progress)


def linear(progress: jax.Array, start: float = 1.0, end: float = 0.0) -> jax.Array:
    """A straight line: start + (end - start) t."""
    return start + (end - start) * progress


def cosine(progress: jax.Array, end: float = 0.0) -> jax.Array:
    """Half a cosine: end + (1 - end) (1 + cos(pi t)) / 2.

    Loshchilov and Hutter 2017, one period.
    """
    return end + (1.0 - end) * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))


def exponential(progress: jax.Array, end: float = 0.01) -> jax.Array:
    """The same factor every step: end ** t."""
    return jnp.power(jnp.float32(end), progress)


def polynomial(progress: jax.Array, power: float = 2.0, end: float = 0.0) -> jax.Array:
    """A power of what is left: end + (1 - end) (1 - t) ** power."""
    return end + (1.0 - end) * jnp.power(1.0 - progress, power)


def step(
    progress: jax.Array, at: Fractions = (0.5, 0.75), factor: float = 0.1
) -> jax.Array:
    """The staircase of He et al. 2016: factor ** (boundaries passed)."""
    # XLA multiplies by 1 / num_steps, so progress may fall short of its fraction by an
    # ulp or two; without the slack one boundary in six would come a step late.
    passed = sum(jnp.where(progress >= boundary - _SLACK, 1.0, 0.0) for boundary in at)
    return jnp.power(jnp.float32(factor), passed)


def inverse_sqrt(progress: jax.Array, warmup: Fraction = 0.1) -> jax.Array:
    """Up in a line to `warmup`, then sqrt(warmup / t) (Vaswani et al. 2017)."""
    least = _above_zero(warmup)
    after = jnp.sqrt(least / jnp.maximum(progress, least))
    return _warmed(progress, warmup, jnp.where(warmup > 0, after, 1.0))


def warmup_constant(progress: jax.Array, warmup: Fraction = 0.05) -> jax.Array:
    """Up in a line to `warmup`, then 1."""
    return _warmed(progress, warmup, jnp.ones_like(progress))


def warmup_linear(
    progress: jax.Array, warmup: Fraction = 0.05, end: float = 0.0
) -> jax.Array:
    """Up in a line to `warmup`, then down in a line to `end`."""
    return _warmed(progress, warmup, linear(_since(progress, warmup), 1.0, end))


def warmup_cosine(
    progress: jax.Array, warmup: Fraction = 0.05, end: float = 0.0
) -> jax.Array:
    """Up in a line to `warmup`, then half a cosine down to `end`."""
    return _warmed(progress, warmup, cosine(_since(progress, warmup), end))


def wsd(
    progress: jax.Array,
    warmup: Fraction = 0.05,
    decay: Fraction = 0.2,
    end: float = 0.0,
) -> jax.Array:
    """Warmup, stable, decay: up in a line, 1, and down in a line over the last `decay`.

    Hu et al. 2024, MiniCPM, whose decay is exponential; here it is linear, as in
    Haegele et al. 2024.
    """
    return _warmed(progress, warmup, linear(_since(progress, 1.0 - decay), 1.0, end))


SCHEDULES: dict[str, Callable[..., jax.Array]] = {
    "constant": constant,
    "cosine": cosine,
    "exponential": exponential,
    "inverse_sqrt": inverse_sqrt,
    "linear": linear,
    "polynomial": polynomial,
    "step": step,
    "warmup_constant": warmup_constant,
    "warmup_cosine": warmup_cosine,
    "warmup_linear": warmup_linear,
    "wsd": wsd,
}


def split(expression: str | Call, num_steps: int) -> tuple[ScheduleSpec, Hparams]:
    """Takes the numbers out of a schedule's expression.

    Args:
      expression: `"warmup_cosine(warmup=0.05)"`, a Call, or an import path to a shape.
      num_steps: optimizer steps of the run, to turn steps into fractions.

    Returns:
      The static ScheduleSpec, and its numbers keyed `schedule.<argument>`.

    Raises:
        Refusal: unknown name or argument, a warmup longer than the run, a value of a
            shape outside [0, 1], boundaries that are not sorted.
    """
    call = spec.parse(expression) if isinstance(expression, str) else expression
    shape = _find(call.name)
    parameters = dict(list(inspect.signature(shape).parameters.items())[1:])
    numbers: Hparams = {}
    kwargs = []
    for name, value in _bound(call, parameters).items():
        where = f"{call.name}({name}={value!r})"
        _check_kind(value, parameters[name].default, where)
        if name in _POSITIVE:
            value = _positive(value, where)
        else:
            value = _checked(value, parameters[name].annotation, num_steps, where)
        if isinstance(value, tuple):
            paths = [f"schedule.{name}.{k}" for k in range(len(value))]
            numbers |= dict(zip(paths, value, strict=True))
            kwargs.append((name, tuple(Leaf(path) for path in paths)))
        else:
            numbers[f"schedule.{name}"] = value
            kwargs.append((name, Leaf(f"schedule.{name}")))
    _check_sum(numbers)
    return ScheduleSpec(shape, tuple(kwargs)), numbers


def check(numbers: Hparams) -> None:
    """Refuses numbers of a schedule, fractions now, that `split` would refuse.

    Raises:
        Refusal: outside [0, 1], boundaries that are not sorted, a sum beyond the run.
    """
    boundaries: dict[str, list[float]] = {}
    for path, value in numbers.items():
        _, name, *index = path.split(".")
        if name in _POSITIVE:
            _positive(value, path)
        elif not 0.0 <= value <= 1.0:
            raise Refusal(f"{path}={value:g}: expected a part of the run, in [0, 1]")
        if index:
            boundaries.setdefault(name, []).append(value)
    for name, values in boundaries.items():
        if values != sorted(values):
            raise Refusal(
                f"schedule.{name}={tuple(values)}: the boundaries are not sorted"
            )
    _check_sum(numbers)


def shape_at(
    schedule: ScheduleSpec, hparams: Hparams, progress: jax.Array
) -> jax.Array:
    """The shape's value at `progress`, with its numbers from `hparams`."""

    def filled(value: Any) -> Any:
        if isinstance(value, Leaf):
            return hparams[value.path]
        return tuple(filled(item) for item in value)

    kwargs = {name: filled(value) for name, value in schedule.kwargs}
    return schedule.shape(progress, **kwargs)


def _find(name: str) -> Callable[..., Any]:
    if ":" not in name:
        return spec.lookup(name, SCHEDULES, "schedule")
    shape = spec.load(name)
    try:
        if callable(shape) and inspect.signature(shape).parameters:
            return shape
    except ValueError:  # a builtin without a signature
        pass
    raise Refusal(f"{name!r} is not a function (progress, **arguments) -> shape")


def _bound(call: Call, parameters: dict[str, inspect.Parameter]) -> dict[str, Any]:
    """Argument name -> value, the defaults included."""
    try:
        bound = inspect.Signature(list(parameters.values())).bind(
            *call.args, **dict(call.kwargs)
        )
    except TypeError as error:
        valid = ", ".join(parameters) or "none"
        raise Refusal(
            f"schedule {call.name}: {error}; its arguments: {valid}"
        ) from None
    bound.apply_defaults()
    return dict(bound.arguments)


def _checked(value: Any, annotation: Any, num_steps: int, where: str) -> Any:
    """The value as fractions and floats in range, or a Refusal naming `where`."""
    if isinstance(value, tuple):
        parts = tuple(_checked(part, Fraction, num_steps, where) for part in value)
        if list(parts) != sorted(parts):
            raise Refusal(f"{where}: the boundaries are not sorted")
        return parts
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal(f"{where}: expected a number")
    is_count = isinstance(value, int) and annotation is Fraction
    if is_count and not 0 <= value <= num_steps:
        raise Refusal(f"{where}: {value} steps, but the run has {num_steps}")
    fraction = value / num_steps if is_count else float(value)
    if not 0.0 <= fraction <= 1.0:
        raise Refusal(f"{where}: expected a number in [0, 1]")
    return fraction


def _check_kind(value: Any, default: Any, where: str) -> None:
    """Refuses one number where a tuple is the default, or the other way round."""
    if default is inspect.Parameter.empty:
        return
    if isinstance(default, tuple) and not isinstance(value, tuple):
        raise Refusal(f"{where}: expected a tuple such as {default!r}")
    parts = value if isinstance(default, tuple) else (value,)
    if any(isinstance(part, tuple) for part in parts):
        raise Refusal(f"{where}: expected a number, not a tuple")


def _positive(value: Any, where: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise Refusal(f"{where}: expected a positive number")
    return float(value)


def _check_sum(numbers: Hparams) -> None:
    warmup, decay = (
        numbers.get(f"schedule.{part}", 0.0) for part in ("warmup", "decay")
    )
    if warmup + decay > 1.0:
        raise Refusal(f"warmup {warmup:g} + decay {decay:g} is more than the run")


def _warmed(progress: jax.Array, warmup: Any, after: jax.Array) -> jax.Array:
    """A line from 0 to 1 at `warmup`, then `after`."""
    return jnp.where(progress < warmup, progress / _above_zero(warmup), after)


def _since(progress: jax.Array, start: Any) -> jax.Array:
    """The part of [start, 1] that has passed, in [0, 1]."""
    return jnp.clip((progress - start) / _above_zero(1.0 - start), 0.0, 1.0)


def _above_zero(value: Any) -> jax.Array:
    """The value, or 2**-40, so that a division by it and its gradient stay finite."""
    return jnp.maximum(jnp.asarray(value, jnp.float32), jnp.float32(2.0**-40))
