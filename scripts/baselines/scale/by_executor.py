"""A process whose executor trains the trials of a sweep in processes of its own."""

import functools
import pickle
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from gradjax.executors import Asked, Executor, processes
from gradjax.trials import batches, devices, lanes
from scripts import device_networks
from scripts.baselines.scale import Task

_WAIT_S = 1.0  # for an answer, before it is waited for again


def make(task: Task, num_trials: int) -> Callable[[], float]:
    """Starts the workers and lets them compile; a measurement gives seconds.

    Args:
      task: the sweep.
      num_trials: of all workers.
    """
    executor = processes.start(train, pickle.dumps(task), Asked(threads=1))
    rates = np.geomspace(1e-4, 1e-2, num_trials)
    parts = [rates[at : at + task.width] for at in range(0, num_trials, task.width)]
    tasks = [pickle.dumps(part) for part in parts]

    def measure() -> float:
        begun = perf_counter()
        _run(executor, tasks)
        return perf_counter() - begun

    measure()
    return measure


def _run(executor: Executor, tasks: list[bytes]) -> None:
    """Gives each task to the next free worker, and waits for all."""
    waiting, running = list(tasks), set[Any]()
    while waiting or running:
        while waiting and len(running) < executor.slots():
            running.add(executor.submit(waiting.pop(), None))
        for handle in executor.wait(list(running), _WAIT_S):
            executor.result(handle)
            running.remove(handle)


def train(work: bytes, rates: bytes) -> bytes:
    """Trains a call of lanes in the process of a worker."""
    chosen = pickle.loads(rates)
    hparams = [{"learning_rate": x} for x in chosen]
    batches.run(_lanes(work), hparams, list(range(len(chosen))))
    return b""


@functools.cache
def _lanes(work: bytes) -> lanes.Lanes:
    task: Task = pickle.loads(work)
    devices.use(1)
    case = device_networks.mlp_case(8, task.hidden)
    return lanes.lanes(device_networks.program_of(case, task.num_steps), task.width, 1)
