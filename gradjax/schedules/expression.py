"""Converts an expression to (ScheduleSpec, Hparams), and computes the value of these.

`split` takes the numbers out of the expression, once and on the host; `shape_at` puts
them back, inside the traced step.
"""

import inspect
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.schedules import functions
from gradjax.schedules.arguments import check_sum, check_value, refusal_start
from gradjax.schedules.combined import PARTS
from gradjax.types import Call, Hparams, ScheduleSpec, TracedNumber

Registry = dict[str, Callable[..., jax.Array]]


def split(
    expression: Any, num_steps: int, prefix: str, registry: Registry
) -> tuple[ScheduleSpec, Hparams]:
    """Splits a schedule into (its static spec, its traced numbers).

    Args:
      expression: `"warmup_cosine(warmup=0.05)"`, a Call, an import path to a shape, a
        function (progress, **arguments with defaults) -> f32[], or numbers in [0, 1],
        as f32[n] or a list. Numbers are the values of `piecewise` at
        equally spaced points of the run, with straight lines between them.
      num_steps: the number of optimizer steps of the run, which converts steps to
        fractions.
      prefix: the prefix of the keys of the numbers.
      registry: the known shapes.

    Returns:
      The static ScheduleSpec, and its numbers with the keys `<prefix>.<argument>`. The
      key of an inner shape contains its name, as in `<prefix>.cosine.end`, and a count
      if several inner shapes have the same name, as in `<prefix>.linear_2.end`. The
      numbers of a list have one key: f32[n].

    Raises:
        Refusal: a name or an argument is unknown, a warmup is longer than the run, a
            value of a shape is outside [0, 1], or boundaries are not sorted or have the
            wrong number; or a function is none of progress, see `functions.as_shape`.
    """
    numbers: Hparams = {}
    if callable(expression):
        name, shape = functions.as_shape(expression)
        expression, registry = Call(name), {**registry, name: shape}
    return _node(as_call(expression), registry, num_steps, prefix, numbers), numbers


def shape_at(
    schedule: ScheduleSpec, hparams: Hparams, progress: jax.Array
) -> jax.Array:
    """Computes the shape's value at `progress`, with its numbers from `hparams`."""

    def filled(value: Any) -> Any:
        if isinstance(value, TracedNumber):
            return hparams[value.path]
        if isinstance(value, ScheduleSpec):
            return partial(shape_at, value, hparams)
        return tuple(map(filled, value)) if isinstance(value, tuple) else value

    bound = inspect.signature(schedule.shape).bind_partial(progress)
    bound.arguments |= {name: filled(value) for name, value in schedule.kwargs}
    return schedule.shape(*bound.args, **bound.kwargs)


def as_call(expression: Any) -> Call:
    """Converts an expression or a sequence of numbers to a Call.

    Raises:
        Refusal: the argument is neither an expression nor a sequence of numbers.
    """
    if isinstance(expression, Call):
        return expression
    if isinstance(expression, str):
        if not expression.lstrip().startswith("["):
            return expressions.parse(expression)
        call = expressions.parse(f"piecewise({expression})")
        if len(call.args) == 1 and not call.kwargs:
            return call
    elif isinstance(expression, list | tuple):
        return Call("piecewise", (tuple(map(_plain, expression)),))
    elif isinstance(expression, np.ndarray | jax.Array) and expression.ndim == 1:
        return Call("piecewise", (tuple(expression.tolist()),))
    said = " ".join(repr(expression).split())
    said = said if len(said) <= 60 else f"{said[:57]}..."
    raise Refusal(
        f"schedule {said}: expected an expression, or numbers f32[n], or a"
        " function of progress"
    )


def _plain(value: Any) -> Any:
    is_array = isinstance(value, np.generic | np.ndarray | jax.Array)
    return value.item() if is_array and value.ndim == 0 else value


def _node(
    call: Call, registry: Registry, num_steps: float, path: str, numbers: Hparams
) -> ScheduleSpec:
    """Returns the spec of one call, and adds its numbers to `numbers` under `path`."""
    shape = _find(call.name, registry)
    arguments = _arguments(call, shape, num_steps)
    parts, paths = _parts(shape, arguments), _child_paths(path, arguments)

    def without_numbers(where: str, value: Any) -> Any:
        if isinstance(value, Call):
            steps = num_steps * next(parts)
            return _node(value, registry, steps, next(paths), numbers)
        if isinstance(value, tuple):
            items = enumerate(value)
            return tuple(without_numbers(f"{where}.{k}", item) for k, item in items)
        if isinstance(value, int):  # an argument annotated Count, which is static
            return value
        if where in numbers:
            raise Refusal(f"schedule {call.name}: two numbers have the key {where}")
        numbers[where] = value
        return TracedNumber(where)

    kwargs = tuple(
        (name, without_numbers(f"{path}.{name}", value))
        for name, value in arguments.items()
    )
    return ScheduleSpec(shape, kwargs)


def _find(name: str, registry: Registry) -> Callable[..., Any]:
    if ":" not in name:
        return expressions.lookup(name, registry, "schedule")
    shape = expressions.load(name)
    return functions.as_shape(shape, repr(name))[1]


def _arguments(
    call: Call, shape: Callable[..., Any], num_steps: float
) -> dict[str, Any]:
    """Returns {argument name: checked value}, with defaults and with fractions."""
    parameters = dict(list(inspect.signature(shape).parameters.items())[1:])
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
    arguments = {
        name: check_value(
            value, parameters[name], num_steps, refusal_start(call.name, name, value)
        )
        for name, value in bound.arguments.items()
    }
    check_sum(arguments.get("warmup", 0.0), arguments.get("decay", 0.0))
    return arguments


def _parts(shape: Callable[..., Any], arguments: dict[str, Any]) -> Iterator[float]:
    """Yields the length of each inner shape's part; 1 inside a shape of the user."""
    rule = PARTS.get(shape)
    return itertools.repeat(1.0) if rule is None else iter(rule(**arguments))


def _child_paths(path: str, arguments: dict[str, Any]) -> Iterator[str]:
    """Yields the path of each inner shape: its name, with a count if it is repeated."""
    values = [v if type(v) is tuple else (v,) for v in arguments.values()]
    calls = [value for value in itertools.chain(*values) if isinstance(value, Call)]
    names = [call.name.rpartition(":")[2] for call in calls]
    counts: Counter[str] = Counter()
    for name in names:
        counts[name] += 1
        number = f"_{counts[name]}" if names.count(name) > 1 else ""
        yield f"{path}.{name}{number}"
