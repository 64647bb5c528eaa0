"""The rivals of the sweep benchmark: one network, trained at many learning rates.

A rival is a module with `make(task, dataset, rates) -> measure`. Imports, `make` and
the data that it prepares are not timed. `measure() -> Measured` is timed, from before
anything is built or compiled until the last loss is on the host.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scripts.baselines import Settings


class Task(NamedTuple):
    """The training of each trial of a sweep."""

    dataset: str  # "mnist" or "digits"
    settings: Settings
    hidden: int  # units of the hidden layer of the MLP; not used for a CNN
    num_steps: int
    eval_every: int | None  # steps, only for gradjax; None: only at the end
    is_evaluated: bool  # whether gradjax evaluates held-out splits; its rivals never do


class Cost(NamedTuple):
    """The cost of n trials in seconds: once_s + n * each_s."""

    once_s: float
    each_s: float


class Measured(NamedTuple):
    """The measurements of one process."""

    whole: Cost  # with compiling
    compiling: Cost
    loss: float  # the training loss of the best trial, the mean over its steps


def cost_of(seconds: Sequence[float]) -> Cost:
    """Computes the cost if the first trial also pays for the set-up.

    n trials then cost first + (n - 1) * mean of the others. For the number of trials
    that were measured, this is exactly their sum.

    Args:
      seconds: of each trial, in the order in which they ran; at least two.
    """
    each_s = float(np.mean(seconds[1:]))
    return Cost(seconds[0] - each_s, each_s)


def total_s(cost: Cost, num_trials: float) -> float:
    """Returns the seconds of a number of trials."""
    return cost.once_s + num_trials * cost.each_s


def cores() -> list[int]:
    """Returns the cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
