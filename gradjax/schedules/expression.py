"""From an expression to (ScheduleSpec, Hparams), and from those to a value.

`split` takes the numbers out, once, on the host; `shape_at` puts them in, inside the
traced step.
"""

import inspect
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from inspect import Parameter
from typing import Any

import jax
import numpy as np

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.schedules.arguments import check_sum, checked, shown
from gradjax.schedules.combined import PARTS
from gradjax.types import Call, Hparams, ScheduleSpec, TracedNumber

Registry = dict[str, Callable[..., jax.Array]]


def split(
    expression: Any, num_steps: int, prefix: str, registry: Registry
) -> tuple[ScheduleSpec, Hparams]:
    """Takes the numbers out of a schedule.

    Args:
      expression: `"warmup_cosine(warmup=0.05)"`, a Call, an import path to a shape, or
        numbers in [0, 1], f32[n] or a list: the values of `piecewise`, as equally
        spaced points of the run with straight lines between them.
      num_steps: optimizer steps of the run, to turn steps into fractions.
      prefix: of the keys of its numbers.
      registry: the known shapes.

    Returns:
      The static ScheduleSpec, and its numbers, keyed `<prefix>.<argument>`. A shape
      inside another adds its name, `<prefix>.cosine.end`, numbered where two have the
      same, `<prefix>.linear_2.end`. Numbers of a list are one key, f32[n].

    Raises:
        Refusal: unknown name or argument, a warmup longer than the run, a value of a
            shape outside [0, 1], boundaries that are not sorted or of another count.
    """
    numbers: Hparams = {}
    return _node(as_call(expression), registry, num_steps, prefix, numbers), numbers


def shape_at(
    schedule: ScheduleSpec, hparams: Hparams, progress: jax.Array
) -> jax.Array:
    """The shape's value at `progress`, with its numbers from `hparams`."""

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
    """The Call that an expression or plain numbers stand for.

    Raises:
        Refusal: it is neither.
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
    raise Refusal(f"schedule {said}: expected an expression, or numbers f32[n]")


def _plain(value: Any) -> Any:
    is_array = isinstance(value, np.generic | np.ndarray | jax.Array)
    return value.item() if is_array and value.ndim == 0 else value


def _node(
    call: Call, registry: Registry, num_steps: float, path: str, numbers: Hparams
) -> ScheduleSpec:
    """The spec of one call; its numbers go into `numbers` under `path`."""
    shape = _find(call.name, registry)
    arguments = _arguments(call, shape, num_steps)
    parts, paths = _parts(shape, arguments), _child_paths(path, arguments)

    def stored(where: str, value: Any) -> Any:
        if isinstance(value, Call):
            steps = num_steps * next(parts)
            return _node(value, registry, steps, next(paths), numbers)
        if isinstance(value, tuple):
            return tuple(stored(f"{where}.{k}", item) for k, item in enumerate(value))
        if isinstance(value, int):  # a Count
            return value
        if where in numbers:
            raise Refusal(f"schedule {call.name}: two numbers have the key {where}")
        numbers[where] = value
        return TracedNumber(where)

    kwargs = [(name, stored(f"{path}.{name}", v)) for name, v in arguments.items()]
    return ScheduleSpec(shape, tuple(kwargs))


def _find(name: str, registry: Registry) -> Callable[..., Any]:
    if ":" not in name:
        return expressions.lookup(name, registry, "schedule")
    shape = expressions.load(name)
    try:
        parameters = inspect.signature(shape).parameters if callable(shape) else {}
    except ValueError:  # a builtin without a signature
        parameters = {}
    kinds = {parameter.kind for parameter in parameters.values()}
    if not parameters or Parameter.VAR_KEYWORD in kinds:
        raise Refusal(f"{name!r} is not a function (progress, argument=...) -> shape")
    return shape


def _arguments(
    call: Call, shape: Callable[..., Any], num_steps: float
) -> dict[str, Any]:
    """Argument name -> value, the defaults included: checked, in fractions."""
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
        name: checked(value, parameters[name], num_steps, shown(call.name, name, value))
        for name, value in bound.arguments.items()
    }
    check_sum(arguments.get("warmup", 0.0), arguments.get("decay", 0.0))
    return arguments


def _parts(shape: Callable[..., Any], arguments: dict[str, Any]) -> Iterator[float]:
    """The part of the run that each shape inside has; of one's own, all of it."""
    rule = PARTS.get(shape)
    return itertools.repeat(1.0) if rule is None else iter(rule(**arguments))


def _child_paths(path: str, arguments: dict[str, Any]) -> Iterator[str]:
    """A path for each shape inside: its name, numbered where a name comes twice."""
    values = [v if type(v) is tuple else (v,) for v in arguments.values()]
    calls = [value for value in itertools.chain(*values) if isinstance(value, Call)]
    names = [call.name.rpartition(":")[2] for call in calls]
    seen: Counter[str] = Counter()
    for name in names:
        seen[name] += 1
        number = f"_{seen[name]}" if names.count(name) > 1 else ""
        yield f"{path}.{name}{number}"
