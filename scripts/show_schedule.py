"""Draws schedules: `python -m scripts.show_schedule 'warmup_cosine(warmup=0.1)' rex`.

usage: python -m scripts.show_schedule SCHEDULE [SCHEDULE ...] [--steps=1000]
           [--out=schedule.png]

A SCHEDULE is a value of --schedule: a name, a call such as
'join(linear(0, 1), cosine, at=0.1)', an import path, or a list of numbers such as
'[1, 0.5, 0.1]'. This command prints the factor by which each schedule multiplies the
learning rate at a few steps of a run, and draws all schedules in one picture.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from gradjax import schedules
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.own_code import named_errors
from gradjax.plots.schedule import schedule as draw
from gradjax.report import terminal
from gradjax.types import Series

_SHOWN = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)  # fractions of the run
_MAX_POINTS = 2_000  # more than the picture has columns of pixels
_MAX_STEPS = 10**9
_MAX_CURVES = 28  # the number of different line styles


def values(expression: str, num_steps: int) -> Series:
    """Returns the values of a schedule over a run: at every step, or at 2,000 steps.

    Raises:
        Refusal: what `schedules.split` refuses, or a shape whose value is not a scalar.
    """
    schedule, numbers = schedules.split(expression, num_steps)
    steps = _spread(num_steps, np.linspace(0.0, 1.0, min(num_steps, _MAX_POINTS)))

    def value(i: jax.Array) -> jax.Array:
        progress = i.astype(jnp.float32) / num_steps
        return schedules.shape_at(schedule, numbers, progress)

    steps = np.union1d(steps, _spread(num_steps, _SHOWN))
    with named_errors(f"{expression} is not a shape of a schedule"):
        found = np.asarray(jax.jit(jax.vmap(value))(jnp.asarray(steps, jnp.uint32)))
    if found.shape != steps.shape:
        raise Refusal(f"{expression}: its value has shape {found.shape[1:]}, not ()")
    return Series(steps, found)


def table(shapes: dict[str, Series], num_steps: int) -> list[str]:
    """Returns the values at a few steps, one line per schedule."""
    steps = np.unique(_spread(num_steps, _SHOWN))
    columns = [f"{step:,}" for step in steps]
    width = max(7, *map(len, columns))
    label_width = max(len("step"), *map(len, shapes))
    lines = ["step".ljust(label_width) + "".join(f" {c:>{width}}" for c in columns)]
    for label, series in shapes.items():
        at = np.searchsorted(series.steps, steps)
        cells = "".join(f" {value:>{width}.4f}" for value in series.values[at])
        lines.append(label.ljust(label_width) + cells)
    return lines


def _spread(num_steps: int, parts: object) -> np.ndarray:
    """Returns the steps at these fractions of the way to the last step."""
    return np.rint(np.asarray(parts) * (num_steps - 1)).astype(np.int64)


def _read(arguments: list[str]) -> tuple[list[str], int, Path]:
    """Reads the schedules, the steps and the file from a command line."""
    flags = {"--steps": "1000", "--out": "schedule.png"}
    expressions = []
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name in flags and "=" in argument:
            flags[name] = value
        elif argument.startswith("-"):
            raise Refusal(
                f"{argument!r} is no flag; there are --steps=N and --out=FILE"
            )
        else:
            expressions.append(" ".join(argument.split()))
    distinct = list(dict.fromkeys(expressions))
    if not 1 <= len(distinct) <= _MAX_CURVES:
        usage = "usage: python -m scripts.show_schedule SCHEDULE [SCHEDULE ...]"
        raise Refusal(f"{usage} [--steps=N] [--out=FILE]; at most {_MAX_CURVES}")
    steps, out = flags["--steps"], flags["--out"]
    is_whole = steps.isdecimal() and len(steps) <= 10
    if not is_whole or not 1 <= int(steps) <= _MAX_STEPS:
        expected = f"expected a whole number from 1 to {_MAX_STEPS:,}"
        raise Refusal(f"--steps={steps}: {expected}")
    if not out.endswith(".png") or "\0" in out:
        raise Refusal(f"--out={out}: expected a file whose name ends in .png")
    return distinct, int(steps), Path(out)


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    if "--help" in arguments:
        terminal.say((__doc__ or "").strip())
        return 0
    try:
        expressions, num_steps, out = _read(arguments)
        shapes = {one: values(one, num_steps) for one in expressions}
        picture = draw(shapes)
        with named_disk_errors(out.parent):
            write_bytes(out, picture)
        terminal.say("\n".join([*table(shapes, num_steps), f"{out} shows it"]))
    except Refusal as error:
        print(f"show_schedule: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
