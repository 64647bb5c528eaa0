"""Bounds of hyperparameters, by the name of the argument."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.errors import Refusal


class Bound(NamedTuple):
    """The interval [low, high), or (low, high) if `is_open`."""

    low: float
    high: float = math.inf
    is_open: bool = False


_MOMENT = Bound(0.0, 1.0)  # at a decay of 1 the bias correction divides by zero
_NOT_NEGATIVE = Bound(0.0)
_POSITIVE = Bound(0.0, is_open=True)
_COUNT = Bound(1.0)

BOUNDS: dict[str, Bound] = {
    "learning_rate": _NOT_NEGATIVE,
    "max_learning_rate": _NOT_NEGATIVE,
    "b1": _MOMENT,
    "b2": _MOMENT,
    "b3": _MOMENT,
    "beta": _MOMENT,
    "beta3": _MOMENT,
    "betas": _MOMENT,
    "adam_b1": _MOMENT,
    "adam_b2": _MOMENT,
    "decay": _MOMENT,
    "decay_rate": _MOMENT,
    "momentum": _MOMENT,
    "rho": _NOT_NEGATIVE,  # the decay of adadelta and the radius of sam
    "eps": _POSITIVE,
    "eps_root": _NOT_NEGATIVE,
    "adam_eps_root": _NOT_NEGATIVE,
    "adam_learning_rate": _NOT_NEGATIVE,
    "adam_weight_decay": _NOT_NEGATIVE,
    "weight_decay": _NOT_NEGATIVE,
    "weight_decay_rate": _NOT_NEGATIVE,
    "max_norm": _POSITIVE,
    "max_delta": _POSITIVE,
    "clipping": _POSITIVE,
    "threshold": _POSITIVE,
    "trust_coefficient": _POSITIVE,
    "l2_norm_clip": _POSITIVE,
    "noise_multiplier": _NOT_NEGATIVE,
    "slow_step_size": _POSITIVE,
    "precond_learning_rate": _POSITIVE,
    "accumulation_size": _COUNT,
    "every": _COUNT,
    "delay": _NOT_NEGATIVE,
    "eta": _NOT_NEGATIVE,
    "initial_accumulator_value": _NOT_NEGATIVE,
    "initial_scale": _NOT_NEGATIVE,
    "k": _COUNT,
    "max_dim": _COUNT,
    "memory_size": _COUNT,
    "ns_steps": _COUNT,
    "num_betas": _COUNT,
    "patience": _COUNT,
    "rank": _COUNT,
    "sync_period": _COUNT,
    "update_interval": _COUNT,
    "update_proj_gap": _COUNT,
    "warmup_steps": _COUNT,
}


def check(name: str, value: Any, where: str) -> float:
    """Returns a number as a float after checking the bounds of its name.

    Args:
      name: the name or the dotted path of the argument.
      value: the number.
      where: the text before `=` in the message of a refusal.

    Raises:
        Refusal: the value is not a finite number, or is out of bounds.
    """
    number = as_float(value, where)
    names = [part for part in name.split(".") if not part.isdigit()]
    low, high, is_open = BOUNDS.get(names[-1] if names else "", Bound(-math.inf))
    kind = float_type()
    traced = kind.type(number)  # the value in the program: 1 - 1e-9 is 1 in float32
    if traced < low or traced >= high or (is_open and traced == low):
        above = f"above {low:g}" if is_open else f"at least {low:g}"
        below = f" and below {high:g}" if high < math.inf else ""
        is_rounded = low <= number < high and number != low
        rounded = f"; as a {kind} it is {traced:g}" if is_rounded else ""
        raise Refusal(f"{where}={value}: must be {above}{below}{rounded}")
    return number


def float_type() -> np.dtype:
    """Returns the type of traced numbers: float32, or float64 where x64 is enabled."""
    return jnp.result_type(float)


def as_float(value: Any, where: str) -> float:
    """Returns a number as a float after checking that it is finite in a program.

    Raises:
        Refusal: the value is not a number, or is not finite in `float_type()`. The
            message begins with `where`.
    """
    is_scalar = isinstance(value, int | float | np.number | jax.Array | np.ndarray)
    if isinstance(value, bool) or not is_scalar or np.ndim(value):
        raise Refusal(f"{where}={value!r}: expected a number")
    kind = float_type()
    if not abs(value) <= float(jnp.finfo(kind).max):
        raise Refusal(f"{where}={value}: expected a finite number that a {kind} holds")
    return float(value)
