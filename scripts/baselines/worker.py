"""Runs each rival in its own process, so that no two share threads or memory.

The parent calls one worker at a time; the others wait on their pipe and use no core.
gradjax chooses its number of threads by its own rule, and further forms of it have the
same number. Every other rival trains with one thread or with a thread per core,
whichever was faster in a few rounds before.
"""

import contextlib
import importlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from gradjax.trials import cores, devices
from scripts.baselines import THREADS, Round, Settings

_DIAGNOSTICS = ("gradjax_layer_norms", "gradjax_noise_scale", "gradjax_sharpness")
_OURS = ("gradjax_run", "gradjax_bfloat16", *_DIAGNOSTICS)
NUM_TRIED = 2  # rounds with each number of threads, after one that is not counted
# XLA, PyTorch and the libraries below them read their number of threads from these.
_VARIABLES = ("NPROC", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Worker(NamedTuple):
    """A rival in its process, as the parent sees it."""

    rival: str
    num_threads: int
    first_s: float
    train: Callable[[int], Round]


@contextlib.contextmanager
def start_workers(
    rivals: tuple[str, ...],
    settings: Settings,
    inputs: np.ndarray,
    targets: np.ndarray,
    num_steps: int,
) -> Iterator[list[Worker]]:
    """Starts a worker for each rival, one after another; ends all of them at the exit.

    Args:
      rivals: modules of scripts.baselines.
      settings: the network that every rival trains.
      inputs: the inputs.
      targets: the targets of the inputs.
      num_steps: the steps of a round in which numbers of threads are compared.

    Raises:
      RuntimeError: a worker died; its traceback is on stderr.
    """
    arguments = (settings, inputs, targets)
    threads = {rival: _num_threads(rival, arguments, num_steps) for rival in rivals}
    with contextlib.ExitStack() as stack:
        found, ours = [], None
        for rival in rivals:
            number = ours if rival in _OURS else threads[rival]
            found.append(stack.enter_context(_start(rival, arguments, number)))
            if rival in _OURS:
                ours = found[-1].num_threads
        yield found


def _num_threads(rival: str, arguments: tuple[Any, ...], num_steps: int) -> int | None:
    """Returns the faster number of threads; None for gradjax, which has a rule."""
    if rival in _OURS:
        return None
    took = {}
    for number in dict.fromkeys((1, cores.num_cores())):
        with _start(rival, arguments, number) as worker:
            rounds = [worker.train(num_steps) for _ in range(NUM_TRIED + 1)]
            took[number] = min(timed.run_s for timed in rounds[1:])
    return min(took, key=lambda number: took[number])


@contextlib.contextmanager
def _start(
    rival: str, arguments: tuple[Any, ...], num_threads: int | None
) -> Iterator[Worker]:
    # A forked child would inherit the locks of jax's threads.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (theirs, rival, num_threads, *arguments)
    process = context.Process(target=_serve, args=arguments, daemon=True)
    process.start()
    theirs.close()  # so that the end of the worker is an end of file here

    def answer() -> Any:
        try:
            return ours.recv()
        except EOFError as error:
            raise RuntimeError(f"the worker of {rival} died") from error

    def train(num_steps: int) -> Round:
        ours.send(num_steps)
        return answer()

    try:
        used, first_s = answer()
        yield Worker(rival, used, first_s, train)
    finally:
        ours.close()
        process.join(timeout=10)
        process.kill()


def _serve(
    pipe: Connection, rival: str, num_threads: int | None, *arguments: Any
) -> None:
    if num_threads is not None:
        os.environ.update(dict.fromkeys((*_VARIABLES, THREADS), str(num_threads)))
    module = importlib.import_module(f"scripts.baselines.{rival}")
    made = module.make(*arguments)
    used = devices.num_threads() if num_threads is None else num_threads
    with contextlib.suppress(EOFError):  # the parent has closed its end of the pipe
        pipe.send((used, made.first_s))
        while True:
            pipe.send(made.train(pipe.recv()))
