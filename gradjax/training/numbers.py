"""Checks of the hyperparameters and the seed of a run."""

from typing import Any

import numpy as np

from gradjax import expressions, optimizers, schedules
from gradjax.counts import as_whole
from gradjax.errors import Refusal
from gradjax.optimizers import arguments, bounds
from gradjax.optimizers.build import name_of
from gradjax.types import Hparams, Program


def checked_hparams(program: Program, hparams: Hparams) -> Hparams:
    """Checks hyperparameters and adds the defaults of the program.

    Returns:
      path -> f32[], or f64[] where x64 is enabled.

    Raises:
        Refusal: an unknown name, or a number out of bounds.
    """
    for name in hparams:
        if name not in program.hparams:
            raise Refusal(unknown(program, name))
    numbers = {
        path: schedules.as_values(value, path, np.shape(program.hparams[path]))
        if np.ndim(program.hparams[path])
        else bounds.as_float(value, path)
        for path, value in {**program.hparams, **hparams}.items()
    }
    shape = {path: v for path, v in numbers.items() if path.startswith("schedule.")}
    schedules.check(shape)
    own = {path: numbers[path] for path in numbers.keys() - shape.keys()}
    optimizers.check_numbers(program.plan.optimizer, own)
    float_type = bounds.float_type().type
    return {path: float_type(value) for path, value in numbers.items()}


def unknown(program: Program, name: Any, is_placed: bool = False) -> str:
    """Returns the message for an unknown hyperparameter of a program.

    Args:
      program: has no hyperparameter of this name.
      name: as it was given.
      is_placed: whether the path of an argument that is not written out is known, as it
        is to `gradjax.sweep`.
    """
    optimizer, known = program.plan.optimizer, program.hparams
    rule, argument = name_of(optimizer), str(name).removeprefix("optimizer.")
    path = f"optimizer.{argument}"
    said = f"unknown hyperparameter {name!r}"
    if path in known:
        return f"{said}; did you mean {path!r}?"
    line = f"{said}: {rule} has no hyperparameters"
    if known:
        line = expressions.unknown(name, known, "hyperparameter")
    is_argument = arguments.is_number(optimizer.entry, argument)
    if is_placed:
        return f"{line}; its argument is {path!r}" if is_argument else line
    if is_argument:
        example = f": {rule}({argument}=...) has {path!r}"
    elif str(name).startswith("optimizer."):
        example = ""
    else:
        return line
    return f"{line}; an expression that writes out the argument makes it one{example}"


def checked_seed(seed: Any) -> np.uint32:
    """Checks a seed and returns it as u32[].

    Raises:
        Refusal: it is not a whole number in [0, 2**32).
    """
    number = as_whole(seed)
    if number is None or not 0 <= number < 2**32:
        raise Refusal(f"seed={seed!r}: must be a whole number from 0 to {2**32 - 1}")
    return np.uint32(number)


def check_program(program: Any) -> None:
    """Refuses what is not a Program."""
    if not isinstance(program, Program):
        kind = type(program).__name__
        raise Refusal(f"{kind} is no Program: gradjax.program makes one")
