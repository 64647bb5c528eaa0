"""EXECUTORS: engines that run the trials of a sweep, by the name of `--executor`.

Another one is a function `start(function, work, asked) -> Executor`, with a line here.
"""

from gradjax.errors import Refusal
from gradjax.executors import processes, ray_tasks
from gradjax.executors.protocol import Asked, Executor, Function, Start, WorkerLost
from gradjax.expressions import unknown

INLINE = "inline"  # the threads of this process, without an engine
EXECUTORS: dict[str, Start] = {"processes": processes.start, "ray": ray_tasks.start}

__all__ = [
    "EXECUTORS",
    "INLINE",
    "Asked",
    "Executor",
    "Function",
    "Start",
    "WorkerLost",
    "check",
]


def check(name: str) -> None:
    """Refuses an unknown name of an executor.

    Raises:
        Refusal: the line lists the names.
    """
    if name != INLINE and name not in EXECUTORS:
        raise Refusal(f"--executor: {unknown(name, [INLINE, *EXECUTORS], 'executor')}")
