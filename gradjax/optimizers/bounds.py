"""What a hyperparameter may be, by the name the field gives it."""

import math
from typing import Any, NamedTuple

from gradjax.errors import Refusal


class Bound(NamedTuple):
    """An interval: [low, high), or (low, high) where the low end is left out."""

    low: float
    high: float = math.inf
    is_open: bool = False


_MOMENT = Bound(0.0, 1.0)  # a decay of 1 never forgets, and divides by zero
_NOT_NEGATIVE = Bound(0.0)
_POSITIVE = Bound(0.0, is_open=True)

BOUNDS: dict[str, Bound] = {
    "learning_rate": _NOT_NEGATIVE,
    "max_learning_rate": _NOT_NEGATIVE,
    "b1": _MOMENT,
    "b2": _MOMENT,
    "b3": _MOMENT,
    "beta": _MOMENT,
    "decay": _MOMENT,
    "decay_rate": _MOMENT,
    "momentum": _MOMENT,
    "rho": _MOMENT,
    "eps": _POSITIVE,
    "eps_root": _NOT_NEGATIVE,
    "weight_decay": _NOT_NEGATIVE,
    "weight_decay_rate": _NOT_NEGATIVE,
    "max_norm": _POSITIVE,
    "max_delta": _POSITIVE,
    "clipping": _POSITIVE,
    "threshold": _POSITIVE,
    "trust_coefficient": _POSITIVE,
}


def check(name: str, value: Any, where: str) -> float:
    """The number as a float, if it lies within the bounds of its name.

    Raises:
        Refusal: it is not a finite number, or is out of bounds; the line says where.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal(f"{where}={value!r}: expected a number")
    low, high, is_open = BOUNDS.get(name, Bound(-math.inf))
    if not math.isfinite(value):
        raise Refusal(f"{where}={value}: expected a finite number")
    if value < low or value >= high or (is_open and value == low):
        above = f"above {low:g}" if is_open else f"at least {low:g}"
        below = f" and below {high:g}" if high < math.inf else ""
        raise Refusal(f"{where}={value}: must be {above}{below}")
    return float(value)
