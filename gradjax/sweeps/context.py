"""The arguments of a sweep, which are the same in all of its rounds."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from gradjax.sweeps import shared as sharing
from gradjax.sweeps.points import Trial
from gradjax.sweeps.workers import StartExecutor
from gradjax.trials.lanes import Lanes
from gradjax.types import Settings, Space, Sweep, Target

FRESH_SEED = 2**31  # the first of the seeds that no search uses
Groups = dict[str, list[Trial]]  # by the program that they share


class Reporter(NamedTuple):
    """Functions that print what a person reads while trials run."""

    announce: Callable[[str, Groups], None]  # before a round
    estimate: Callable[[Lanes, int, str], None]
    # (lanes, number of trials, name of the group), after a group is compiled
    progress: Callable[[str, int, Target], Any]
    # (label, number of trials, target) -> an object with the functions `computed` and
    # `read`, which are called after segments, and `ended`, after the batch of a worker


class Context(NamedTuple):
    """The arguments of a sweep, which are the same in all rounds."""

    base: Settings
    asked: Sweep
    space: Space
    store: Any
    lanes: Callable[[Settings], Lanes]  # of the settings of a group; made once
    reporter: Reporter
    stop_requested: Callable[[], int | None]  # the number of the signal, or None
    first_fresh_seed: int = FRESH_SEED
    shared: sharing.Shared = sharing.Shared()
    executor: StartExecutor | None = None  # None: this process trains
    clock: Callable[[], float] = time.monotonic  # of the executor, in seconds


def num_fresh_seeds(context: Context) -> int:
    """Returns the number of fresh seeds; a run chooses nothing and needs none."""
    return context.asked.fresh_seeds if context.space.dimensions else 0
