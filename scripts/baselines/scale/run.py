"""Measures the ways of using the cores, and joins their tables."""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradjax.analysis.statistics import median_interval
from gradjax.report import terminal
from scripts.baselines.scale import ONE, TARGET, TASKS, WAYS, Task, Way
from scripts.baselines.sweeps import cores
from scripts.baselines.sweeps.contest import rounds
from scripts.baselines.sweeps.processes import Worker, start
from scripts.baselines.table import about_machine, format_interval

_TRAINING = "scripts.baselines.scale.training"
_EXECUTOR = "scripts.baselines.scale.by_executor"
_HEAD = "| | trials/s | of one core |\n|---|---:|---:|"


def report(num_rounds: int, tasks: Sequence[Task] = TASKS) -> str:
    """Measures every task, and prints each table as soon as it is measured."""
    parts = [_header(num_rounds)]
    terminal.say(parts[0])
    for task in tasks:
        num_trials = task.num_trials(len(cores()))
        parts.append(table(task, num_trials, len(cores()), measure(task, num_rounds)))
        terminal.say(parts[-1])
    return "\n".join(parts)


def measure(task: Task, num_rounds: int) -> dict[str, list[float]]:
    """Returns way -> the seconds of all trials in each round.

    Each way has processes of its own, which wait while others run.
    """
    with contextlib.ExitStack() as stack:
        runs = {
            name: functools.partial(
                _slowest, [stack.enter_context(one) for one in _processes(task, way)]
            )
            for name, way in WAYS.items()
        }
        return rounds(task.title, runs, num_rounds)


def _processes(task: Task, way: Way) -> list[Any]:
    """Returns the contexts of the processes of a way."""
    there = cores()
    total = task.num_trials(len(there))
    if way.has_executor:
        return [start(_EXECUTOR, (task, total), has_children=True)]
    if not way.is_pinned:
        count = way.num_cores or len(there)
        return [start(_TRAINING, (task, total, count, way.has_devices))]
    size = way.num_cores
    arguments = (task, total * size // len(there), size, way.has_devices)
    return [start(_TRAINING, arguments, pinned_to=core) for core in there]


def _slowest(workers: list[Worker]) -> float:
    """Runs all processes of a way at once; returns the seconds of the slowest one."""
    for worker in workers:
        worker.begin()
    return max([worker.answer() for worker in workers])


def table(
    task: Task, num_trials: int, num_cores: int, found: Mapping[str, Sequence[float]]
) -> str:
    """Returns the table of a task.

    Args:
      task: the sweep.
      num_trials: of the sweep.
      num_cores: of the machine.
      found: way -> the seconds of all trials in each round.
    """
    one = np.asarray(found[ONE])
    rows, ratios = [], {}
    for name, seconds in found.items():
        speed = median_interval(num_trials / np.asarray(seconds))
        ratio = median_interval(one / np.asarray(seconds))
        ratios[name] = ratio.estimate
        compared = "" if name == ONE else format_interval(ratio, 2)
        cells = (WAYS[name].label, format_interval(speed, 1), compared)
        rows.append(f"| {' | '.join(cells)} |")
    best = max((name for name in found if name != ONE), key=lambda name: ratios[name])
    target = TARGET * num_cores
    reached = "is reached" if ratios[best] >= target else "is not reached"
    return "\n".join(
        [
            f"## {task.title}",
            "",
            f"{num_trials} trials of {task.num_steps:,} steps, batch 32, Adam.",
            "",
            _HEAD,
            *rows,
            "",
            f"The best way has {ratios[best]:.2f} times the throughput of one core; the"
            f" target of {target:.1f} {reached}.",
            "",
        ]
    )


def _header(num_rounds: int) -> str:
    return f"""\
# A sweep of small trials on all cores

`python -m scripts.benchmark scale --rounds={num_rounds}`

- Data: random images of 8x8 pixels; float32. Evaluations compute nothing.
{about_machine(len(cores()))}
- Rounds: {num_rounds}, after a run of each way that is not counted. In a round each way
  runs all trials once, in processes of its own while the others wait; the order
  rotates.
- Figures: medians over the rounds with distribution-free 95 % intervals (under 6
  rounds, their range). "Of one core" is computed round by round. Compiling is not
  counted; the time has the states on their way to the host and back.
"""
