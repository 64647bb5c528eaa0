"""The rivals of the sweep benchmark: one network, trained at many learning rates.

A rival is a module with `make(task, dataset, rates) -> measure`. Importing, `make` and
the data it prepares are not timed; `measure() -> Measured` is, from before anything is
built or compiled until the last loss is on the host.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scripts.baselines import Settings


class Task(NamedTuple):
    """What each trial of a sweep is."""

    dataset: str  # "mnist" or "digits"
    settings: Settings
    hidden: int  # units of the MLP's one hidden layer; of a CNN not looked at
    num_steps: int
    eval_every: int | None  # steps; gradjax's; None: at the end only
    is_evaluated: bool  # gradjax measures the held-out splits; its rivals never do


class Cost(NamedTuple):
    """Seconds of n trials: once_s + n * each_s."""

    once_s: float
    each_s: float


class Measured(NamedTuple):
    """What one process found."""

    whole: Cost  # compiling included
    compiling: Cost
    loss: float  # training loss, mean over a trial's steps, of its best trial


def cost_of(seconds: Sequence[float]) -> Cost:
    """The cost where the first trial pays for all that is set up once.

    n trials then cost first + (n - 1) * mean of the others; of as many trials as were
    measured that is their sum, exactly.

    Args:
      seconds: of each trial, in the order in which they ran; at least two.
    """
    each_s = float(np.mean(seconds[1:]))
    return Cost(seconds[0] - each_s, each_s)


def total_s(cost: Cost, num_trials: float) -> float:
    """Seconds of that many trials."""
    return cost.once_s + num_trials * cost.each_s


def cores() -> list[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
