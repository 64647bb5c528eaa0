"""Annotations of the arguments of shapes, and checks of their values.

The annotation says which values an argument may have. An argument without one of these
annotations is a number in [0, 1]. There are two exceptions: if its name is in POSITIVE,
it is a number above 0; if its default is a tuple, it is a sorted tuple of fractions.
"""

import math
from collections.abc import Callable
from inspect import Parameter
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.types import Call, Hparams

Fraction = Annotated[Any, "f32[] in [0, 1]: a part of the run; an int counts steps"]
Fractions = Annotated[Any, "a sorted tuple of fractions"]
Values = Annotated[Any, "f32[n] in [0, 1], one traced array"]
Count = Annotated[int, "static: a whole number, from 1 to MAX_COUNT"]
Shape = Annotated[Callable[[jax.Array], jax.Array], "a schedule of a part of the run"]

MAX_COUNT = 1_000
POSITIVE = ("growth", "power")  # arguments that may be any positive number


def check_value(value: Any, parameter: Parameter, num_steps: float, where: str) -> Any:
    """Checks the value of an argument, and converts steps to fractions.

    Args:
      value: the value as it was written.
      parameter: the parameter of the shape that receives the value.
      num_steps: the number of steps of the shape's part of the run.
      where: the beginning of the message of a refusal.

    Returns:
      f32[n] for Values, an int for Count, a Call or a tuple of Calls for Shape, and
      otherwise a float or a tuple of floats.

    Raises:
        Refusal: the value is not of the parameter's kind, or it is out of range.
    """
    default, kind = parameter.default, parameter.annotation
    if kind == Shape:
        return _shapes(value, parameter.kind is Parameter.VAR_POSITIONAL, where)
    if isinstance(value, Call):  # a Call is also a tuple
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
    """Checks the numbers that replace those of a schedule, as `split` checks its own.

    Args:
      numbers: all numbers of a schedule, with the keys that `split` gave them. Parts of
        the run are fractions here, not steps.

    Raises:
        Refusal: a number is outside [0, 1], the boundaries are not sorted, or a warmup
            and a decay together are longer than the run.
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
    """Refuses a warmup and a decay that together are longer than the run."""
    if warmup + decay > 1.0:
        raise Refusal(f"warmup {warmup:g} + decay {decay:g} is more than the run")


def as_values(value: Any, path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Converts the value to f32[n], if it consists of numbers and has the shape (n,).

    Where x64 is enabled the numbers are float64.

    Raises:
        Refusal: it is anything else; the message gives the expected shape.
    """
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if array.shape != shape or array.dtype.kind in "OSUb":
        raise Refusal(f"{path}: expected {shape[0]} numbers, as f32[{shape[0]}]")
    return array.astype(jnp.result_type(float))


def refusal_start(name: str, argument: str, value: Any) -> str:
    """Returns the beginning of a refusal, such as `cosine(end=1.5)`, shortened."""
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
    """Returns a number in [0, 1]; an int counts steps, unless `num_steps` is 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal(f"{where}: expected a number")
    if isinstance(value, int) and num_steps:
        # The number of steps of a part is a product, so it may have a rounding error.
        if not 0 <= value <= num_steps * (1.0 + 1e-9):
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
    parts = [_fraction(part, 0, where) for part in value]
    return np.asarray(parts, jnp.result_type(float))


def _count(value: Any, where: str) -> int:
    if type(value) is not int or not 1 <= value <= MAX_COUNT:
        raise Refusal(f"{where}: expected a whole number from 1 to {MAX_COUNT:,}")
    return value


def _positive(value: Any, where: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise Refusal(f"{where}: expected a positive number")
    return float(value)
