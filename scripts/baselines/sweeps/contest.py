"""Contests: who runs a sweep, on which cores, in rounds in which all take turns."""

import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from gradjax.errors import Refusal
from gradjax.types import Dataset
from scripts.baselines.sweeps import Measured, Task, cores, total_s
from scripts.baselines.sweeps.processes import start
from scripts.baselines.table import rotate

# The loss of a network that predicts ten classes by chance; the best trial of a sweep
# must be well below it. On random labels nothing can be learned.
_CHANCE = float(np.log(10))


class Contestant(NamedTuple):
    """One row of a table."""

    label: str
    module: str  # of scripts.baselines.sweeps
    num_measured: int  # trials that it runs; their cost is scaled to all trials
    num_pinned: int = 0  # processes that share the trials, each on its own core; 0: one
    # process on all cores


class Contest(NamedTuple):
    """A sweep and its contestants; the first contestant is gradjax."""

    title: str
    task: Task
    num_trials: int
    rates: tuple[float, float]  # the ends of the log grid of learning rates
    contestants: tuple[Contestant, ...]


class Outcome(NamedTuple):
    """The result of one contestant in one round, scaled to all trials."""

    whole_s: float
    compile_s: float  # of the process that took longest
    loss: float  # of the best trial


def measure(contest: Contest, contestant: Contestant, dataset: Dataset) -> Outcome:
    """Runs one contestant in fresh processes; its wall time is that of the slowest.

    Raises:
      Refusal: fewer cores than pinned processes.
    """
    num_processes, there = max(1, contestant.num_pinned), cores()
    if num_processes > len(there):
        raise Refusal(f"{contestant.label}: needs {num_processes} cores; {len(there)}")
    grid = np.geomspace(*contest.rates, contestant.num_measured)
    with contextlib.ExitStack() as stack:
        workers = []
        for k in range(num_processes):
            arguments = (contest.task, dataset, grid[k::num_processes].tolist())
            core = there[k] if contestant.num_pinned else None
            process = start(contestant.module, arguments, core)
            workers.append(stack.enter_context(process))
        for worker in workers:
            worker.begin()
        found = [worker.answer() for worker in workers]
    return scale(found, contest.num_trials)


def scale(found: list[Measured], num_trials: int) -> Outcome:
    """Returns the cost of `num_trials` trials, shared equally by the processes."""
    share = num_trials / len(found)
    slowest = max(found, key=lambda one: total_s(one.whole, share))
    return Outcome(
        total_s(slowest.whole, share),
        total_s(slowest.compiling, share),
        min(one.loss for one in found),
    )


def rounds(
    title: str, runs: Mapping[str, Callable[[], Any]], num_rounds: int
) -> dict[str, list[Any]]:
    """Runs all in each round, one at a time, in an order that rotates."""
    found = {name: [] for name in runs}
    for number in range(num_rounds):
        for name in rotate(list(runs), number):
            print(
                f"{title}: round {number + 1} of {num_rounds}: {name}",
                file=sys.stderr,
                flush=True,
            )
            found[name].append(runs[name]())
    return found


def check_losses(outcomes: Mapping[str, list[Outcome]], is_random: bool) -> None:
    """Refuses the times of a contestant that does not learn.

    Raises:
      Refusal: the best loss is above three quarters of chance, or, on random labels,
        far above chance.
    """
    bound = _CHANCE * (1.5 if is_random else 0.75)
    for label, found in outcomes.items():
        worst = max(one.loss for one in found)
        if not worst < bound:
            raise Refusal(
                f"{label}: the best training loss of its trials is {worst:.3f};"
                f" expected under {bound:.3f}, so its time means nothing"
            )
