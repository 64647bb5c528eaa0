"""What an executor is: an engine that runs tasks somewhere and says how they ended.

A task and its answer are bytes, so an engine needs to know nothing of training. It runs
`function(work, task)`, where the function is importable on every worker and `work` is
sent to each worker once.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

Function = Callable[[bytes, bytes], bytes]  # (work, task) -> answer


class WorkerLost(Exception):
    """A task has no answer: its worker ended, or its function raised an exception."""


class Asked(NamedTuple):
    """What a command asks of an engine."""

    num_workers: int | None = None  # None: as many as the cores or the cluster allow
    threads: int | None = None  # of one operation on a CPU; None on another device
    address: str = "auto"  # of a Ray cluster


class Executor(NamedTuple):
    """A running engine.

    Attributes:
      slots: () -> the number of tasks that can run at the same time now.
      nodes: () -> the machines that have workers now, each as `submit` takes it; one
        engine-specific value each.
      submit: (task, node or None for any) -> a handle, which can be a key of a dict.
      wait: (handles, seconds) -> those that have ended, after at most this time.
      result: (handle) -> the answer. Raises WorkerLost.
      cancel: (handle) -> None; the task ends, also if its function does not return.
      close: () -> None; ends all workers that the engine has started.
    """

    slots: Callable[[], int]
    nodes: Callable[[], list[Any]]
    submit: Callable[[bytes, Any], Any]
    wait: Callable[[list[Any], float], list[Any]]
    result: Callable[[Any], bytes]
    cancel: Callable[[Any], None]
    close: Callable[[], None]


Start = Callable[[Function, bytes, Asked], Executor]  # (function, work, asked)
