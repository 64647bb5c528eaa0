"""Schedules: shapes in [0, 1] over a run, each multiplied by a traced peak.

A shape is a function (progress, **arguments) -> f32[], where progress = i / num_steps
of step i lies in [0, 1). It has no branches, so its arguments may be traced, mapped
over trials and differentiated. An argument annotated `Fraction` is a part of the run: a
user gives a float, which is the fraction itself, or an int, which is a number of steps;
the function always receives a fraction. An argument annotated `Shape` is another
schedule.

To add a schedule, write a function in `shapes.py` and add one line to SCHEDULES.
"""

from typing import Any

from gradjax.schedules import combined, shapes
from gradjax.schedules.arguments import (
    Count,
    Fraction,
    Fractions,
    Shape,
    Values,
    as_values,
    check,
)
from gradjax.schedules.expression import Registry, as_call, shape_at
from gradjax.schedules.expression import split as _split
from gradjax.schedules.functions import from_optax
from gradjax.types import Hparams, ScheduleSpec

__all__ = [
    "SCHEDULES",
    "Count",
    "Fraction",
    "Fractions",
    "Shape",
    "Values",
    "as_call",
    "as_values",
    "check",
    "from_optax",
    "shape_at",
    "split",
]

SCHEDULES: Registry = {
    "constant": shapes.constant,
    "cosine": shapes.cosine,
    "cosine_restarts": shapes.cosine_restarts,
    "exponential": shapes.exponential,
    "inverse_sqrt": shapes.inverse_sqrt,
    "join": combined.join,
    "linear": shapes.linear,
    "one_cycle": shapes.one_cycle,
    "piecewise": shapes.piecewise,
    "polynomial": shapes.polynomial,
    "rex": shapes.rex,
    "step": shapes.step,
    "warmup": combined.warmup,
    "warmup_constant": shapes.warmup_constant,
    "warmup_cosine": shapes.warmup_cosine,
    "warmup_linear": shapes.warmup_linear,
    "wsd": shapes.wsd,
}


def split(
    expression: Any, num_steps: int, prefix: str = "schedule"
) -> tuple[ScheduleSpec, Hparams]:
    """Splits a schedule into (its static spec, its traced numbers).

    Args:
      expression: `"warmup_cosine(warmup=0.05)"`, a Call, an import path, a function of
        progress, or numbers in [0, 1]: f32[n].
      num_steps: the number of optimizer steps of the run, which converts steps to
        fractions.
      prefix: the prefix of the keys of the numbers.

    Returns and Raises: see `gradjax.schedules.expression.split`.
    """
    return _split(expression, num_steps, prefix, SCHEDULES)
