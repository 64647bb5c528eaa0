"""A rival in a process of its own, so that no two share a thread pool or a heap.

The parent asks one worker at a time; the others wait on their pipe and use no core.
"""

import contextlib
import importlib
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from scripts.baselines import Round, Settings


class Worker(NamedTuple):
    """The parent's end of a rival."""

    rival: str
    first_s: float
    train: Callable[[int], Round]


@contextlib.contextmanager
def running(
    rivals: tuple[str, ...],
    settings: Settings,
    inputs: np.ndarray,
    targets: np.ndarray,
) -> Iterator[list[Worker]]:
    """A worker for each rival, built one after the other; all are ended at the exit.

    Raises:
      RuntimeError: a worker died; its own traceback is on stderr.
    """
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(_started(rival, (settings, inputs, targets)))
            for rival in rivals
        ]


@contextlib.contextmanager
def _started(rival: str, arguments: tuple[Any, ...]) -> Iterator[Worker]:
    # A forked child would inherit the locks of jax's threads.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (theirs, rival, *arguments)
    process = context.Process(target=_serve, args=arguments, daemon=True)
    process.start()
    theirs.close()  # so that a dead worker is an end of file here

    def answer() -> Any:
        try:
            return ours.recv()
        except EOFError as error:
            raise RuntimeError(f"the worker of {rival} died") from error

    def train(num_steps: int) -> Round:
        ours.send(num_steps)
        return answer()

    try:
        yield Worker(rival, answer(), train)
    finally:
        ours.close()
        process.join(timeout=10)
        process.kill()


def _serve(
    pipe: Connection, rival: str, settings: Settings, inputs: np.ndarray, targets: Any
) -> None:
    module = importlib.import_module(f"scripts.baselines.{rival}")
    made = module.make(settings, inputs, targets)
    with contextlib.suppress(EOFError):  # the parent has closed its end: we are done
        pipe.send(made.first_s)
        while True:
            pipe.send(made.train(pipe.recv()))
