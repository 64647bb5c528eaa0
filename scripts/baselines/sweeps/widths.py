"""gradjax at several lane widths, on all devices: CPU or accelerators."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

import gradjax
from gradjax.problems.classification import classification
from gradjax.trials import batches, cores, cost, lanes
from gradjax.trials import lane_width as widths_of
from gradjax.types import Dataset, Program
from scripts.baselines.sweeps.datasets import without_evaluation

_WIDTHS = {"cpu": (1, 2, 4, 16, 64), "accelerator": (1, 16, 64, 256, 1024)}
_MOST_BATCHES = 16  # calls of a device one after another, so that narrow lanes end soon
BATCH_SIZE = 32


class Size(NamedTuple):
    """One network on one data set."""

    title: str
    hidden: int
    num_steps: int  # of each trial


class Cell(NamedTuple):
    """One width of one network in one round."""

    width: int
    num_trials: int
    run_s: float
    compile_s: float


class Table(NamedTuple):
    """Every width of one network in one round."""

    devices: str  # on which it ran
    touched_bytes: int  # by a step of one trial
    usual_width: int  # the default of `gradjax.sweep`
    cells: tuple[Cell, ...]  # from narrow to wide


def make(size: Size, dataset: Dataset, num_trials: int) -> Callable[[], Table]:
    """Compiles every width up to `num_trials` once; a round runs each width."""
    program = _program(size, dataset)
    every = _WIDTHS["cpu" if cores.is_cpu() else "accelerator"]
    made = [lanes.lanes(program, width) for width in every if width <= num_trials]
    for one in made:
        _run(one, 1)  # compiles; and the first run of a program is slower
    kind = jax.devices()[0].device_kind
    said = f"{cores.num_devices()} x {kind}"
    touched, usual = cost.touched_bytes(program), widths_of.default_width(program)

    def measure() -> Table:
        cells = tuple(_run(one, num_trials) for one in made)
        return Table(said, touched, usual, cells)

    return measure


def _program(size: Size, dataset: Dataset) -> Program:
    from gradjax.models import mlp

    shape = tuple(dataset.train["image"].shape[1:])
    problem = classification(dataset, mlp(shape, 10, (size.hidden,)))
    return gradjax.program(
        without_evaluation(problem),
        "adam",
        num_steps=size.num_steps,
        batch_size=BATCH_SIZE,
    )


def _run(made: lanes.Lanes, asked: int) -> Cell:
    """Runs about the given number of trials, in full lanes, the same on every device.

    Adam with a learning rate up to 0.1 does not diverge here, so every trial runs to
    its end.
    """
    together = made.width * cores.num_devices()
    count = min(-(-asked // together), _MOST_BATCHES) * together
    hparams = [{"learning_rate": rate} for rate in np.geomspace(1e-4, 1e-1, count)]
    found = batches.run(made, hparams, [0] * count)
    return Cell(made.width, count, found.run_s, found.compile_s)
