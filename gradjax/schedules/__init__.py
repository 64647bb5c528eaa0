"""Schedules: shapes in [0, 1] over a run, times a traced peak.

A shape is a function (progress, **arguments) -> f32[], where progress = i / num_steps
runs over [0, 1). It is branch-free, so its arguments may be traced, mapped over trials
and differentiated. An argument annotated `Fraction` is a part of the run: given as a
float it is that fraction, given as an int it is a number of steps; inside there are
only fractions. One annotated `Shape` is another schedule.

A new one is a function in `shapes.py` and a line in SCHEDULES.
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
from gradjax.schedules.expression import Registry, shape_at
from gradjax.schedules.expression import split as _split
from gradjax.types import Hparams, ScheduleSpec

__all__ = [
    "SCHEDULES",
    "Count",
    "Fraction",
    "Fractions",
    "Shape",
    "Values",
    "as_values",
    "check",
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
    """Takes the numbers out of a schedule: (what is static, what is traced).

    Args:
      expression: `"warmup_cosine(warmup=0.05)"`, a Call, or numbers in [0, 1]: f32[n].
      num_steps: optimizer steps of the run, to turn steps into fractions.
      prefix: of the keys of its numbers.

    Returns and Raises: see `gradjax.schedules.expression.split`.
    """
    return _split(expression, num_steps, prefix, SCHEDULES)
