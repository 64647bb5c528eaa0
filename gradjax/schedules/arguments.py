"""What an argument of a shape may be, said by its annotation; and the refusals.

An argument without any of these is a number in [0, 1], or above 0 where its name is in
POSITIVE, or a sorted tuple of fractions where its default is a tuple.
"""

import math
from collections.abc import Callable
from inspect import Parameter
from typing import Annotated, Any

import jax
import numpy as np

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.types import Call, Hparams

Fraction = Annotated[Any, "f32[] in [0, 1]: a part of the run; an int is steps"]
Fractions = Annotated[Any, "a sorted tuple of them"]
Values = Annotated[Any, "f32[n] in [0, 1], one number of the run"]
Count = Annotated[int, "static: a whole number, from 1 to MAX_COUNT"]
Shape = Annotated[Callable[[jax.Array], jax.Array], "a schedule, over its own part"]

MAX_COUNT = 1_000
POSITIVE = ("growth", "power")  # arguments that need not lie in [0, 1]


def checked(value: Any, parameter: Parameter, num_steps: float, where: str) -> Any:
    """The value in fractions and floats, in range.

    Args:
      value: as it was written.
      parameter: of the shape that takes it.
      num_steps: steps of its part of the run.
      where: what a refusal begins with.

    Returns:
      A float, a tuple of floats, f32[n] of Values, an int of Count, a Call or a tuple
      of Calls of Shape.

    Raises:
        Refusal: not of the parameter's kind, or out of range.
    """
    default, kind = parameter.default, parameter.annotation
    if kind == Shape:
        return _shapes(value, parameter.kind is Parameter.VAR_POSITIONAL, where)
    if isinstance(value, Call):  # a tuple, too
        raise Refusal(f"{where}: expected a number")
    if kind == Count:
        return _count(value, where)
    if kind == Values:
        return _values(value, where)
    takes_tuple = isinstance(default, tuple) or kind == Fractions
    if isinstance(value, tuple):
        if not takes_tuple and default is not Parameter.empty:
            raise Refusal(f"{where}: expected a number, not a tuple")
        return _fractions(value, num_steps, where)
    if isinstance(default, tuple):
        raise Refusal(f"{where}: expected a tuple such as {default or (0.5, 1.0)!r}")
    if parameter.name in POSITIVE:
        return _positive(value, where)
    return _fraction(value, num_steps if takes_tuple or kind == Fraction else 0, where)


def check(numbers: Hparams) -> None:
    """Refuses numbers of schedules, fractions now, that `split` would refuse.

    Args:
      numbers: every one of a schedule, keyed as `split` keyed them.

    Raises:
        Refusal: outside [0, 1], boundaries that are not sorted, a sum beyond the run.
    """
    boundaries: dict[str, list[float]] = {}
    for path, value in numbers.items():
        name, _, index = path.rpartition(".")
        if index in POSITIVE:
            _positive(value, path)
        elif not np.all((np.asarray(value) >= 0.0) & (np.asarray(value) <= 1.0)):
            said = f"{value:g}" if np.ndim(value) == 0 else "numbers"
            raise Refusal(f"{path}={said}: expected a part of the run, in [0, 1]")
        if index.isdigit():
            boundaries.setdefault(name, []).append(value)
    for path, values in boundaries.items():
        if values != sorted(values):
            raise Refusal(f"{path}={tuple(values)}: the boundaries are not sorted")
    for path, value in numbers.items():
        if path.endswith(".warmup"):
            check_sum(value, numbers.get(f"{path.removesuffix('.warmup')}.decay", 0.0))


def check_sum(warmup: float, decay: float) -> None:
    """Refuses a warmup and a decay that overlap."""
    if warmup + decay > 1.0:
        raise Refusal(f"warmup {warmup:g} + decay {decay:g} is more than the run")


def as_values(value: Any, path: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value as f32[n], if it is numbers of that shape.

    Raises:
        Refusal: it is not; the line says what was expected.
    """
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if array.shape != shape or array.dtype.kind in "OSUb":
        raise Refusal(f"{path}: expected {shape[0]} numbers, as f32[{shape[0]}]")
    return array.astype(np.float32)


def shown(name: str, argument: str, value: Any) -> str:
    """What a refusal begins with: `cosine(end=1.5)`, shortened."""
    text = expressions.unparse(value)
    return f"{name}({argument}={text if len(text) <= 60 else f'{text[:57]}...'})"


def _fractions(values: tuple[Any, ...], num_steps: float, where: str) -> Any:
    if any(isinstance(value, tuple) for value in values):
        raise Refusal(f"{where}: expected a number, not a tuple")
    parts = tuple(_fraction(value, num_steps, where) for value in values)
    if list(parts) != sorted(parts):
        raise Refusal(f"{where}: the boundaries are not sorted")
    return parts


def _fraction(value: Any, num_steps: float, where: str) -> float:
    """A number in [0, 1]; an int is a count of steps, where there are any to count."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal(f"{where}: expected a number")
    if isinstance(value, int) and num_steps:
        if not 0 <= value <= num_steps * (1.0 + 1e-9):  # a part is a product
            owner = "the run" if isinstance(num_steps, int) else "its part"
            raise Refusal(f"{where}: {value} steps, but {owner} has {num_steps:g}")
        return min(value / num_steps, 1.0)
    if not 0.0 <= value <= 1.0:
        raise Refusal(f"{where}: expected a number in [0, 1]")
    return float(value)


def _shapes(value: Any, is_many: bool, where: str) -> Any:
    for one in value if is_many else (value,):
        if not isinstance(one, Call):
            raise Refusal(f"{where}: expected a schedule such as cosine")
    return value


def _values(value: Any, where: str) -> np.ndarray:
    if not isinstance(value, tuple) or not value:
        raise Refusal(f"{where}: expected numbers such as (1.0, 0.5, 0.1)")
    if any(isinstance(part, tuple) for part in value):
        raise Refusal(f"{where}: expected a number, not a tuple")
    return np.asarray([_fraction(part, 0, where) for part in value], np.float32)


def _count(value: Any, where: str) -> int:
    if type(value) is not int or not 1 <= value <= MAX_COUNT:
        raise Refusal(f"{where}: expected a whole number from 1 to {MAX_COUNT:,}")
    return value


def _positive(value: Any, where: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise Refusal(f"{where}: expected a positive number")
    return float(value)
