"""Local processes, one for each core or set of cores, by `concurrent.futures`.

Each worker is a pool of one process. So a process that ends takes only its own task
with it, and a new one replaces it. A process computes on the cores of its worker alone,
with as many threads of an operation as the plan states.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from types import ModuleType
from typing import Any, NamedTuple

from gradjax.errors import Refusal
from gradjax.executors.protocol import Asked, Executor, Function, WorkerLost


class _Worker(NamedTuple):
    """A pool of one process, which is replaced where it ends: lists of at most one."""

    given: tuple[tuple[int, ...], Function, bytes]  # its cores (none: all), function
    # and work
    pool: list[futures.ProcessPoolExecutor]
    process: list[Any]
    task: list[futures.Future[bytes]]  # the last one that it got


def start(function: Function, work: bytes, asked: Asked) -> Executor:
    """Starts one process for each set of cores.

    Args:
      function: as `protocol.Executor` describes it.
      work: likewise.
      asked: the number of workers; None: the number of cores over that of threads.

    Raises:
        Refusal: more workers than cores.
    """
    cores = _cores()
    each = min(asked.threads or 1, len(cores))
    num_workers = asked.num_workers or max(1, len(cores) // each)
    if num_workers > len(cores):
        raise Refusal(
            f"--num_workers={num_workers}: there are {len(cores)} cores, and each"
            " process needs one"
        )
    size = max(each, len(cores) // num_workers)
    parts = [tuple(cores[k * size : (k + 1) * size]) for k in range(num_workers)]
    if num_workers * each > len(cores):
        parts = [()] * num_workers  # they share the cores
    workers = [_Worker((own, function, work), [], [], []) for own in parts]
    owner: dict[futures.Future[bytes], _Worker] = {}

    def submit(task: bytes, node: Any) -> futures.Future[bytes]:
        del node  # there is one machine
        free = next(one for one in workers if not one.task or one.task[0].done())
        try:
            sent = _submit(free, task)
        except BrokenProcessPool:  # it ended after its last task
            _end(free)
            sent = _submit(free, task)
        free.task[:], owner[sent] = [sent], free
        return sent

    def result(handle: futures.Future[bytes]) -> bytes:
        worker = owner.pop(handle)
        try:
            return handle.result(timeout=0)
        except (BrokenProcessPool, futures.CancelledError):
            _end(worker)
            raise WorkerLost("its process ended") from None
        except Exception as error:
            raise WorkerLost(f"{type(error).__name__}: {error}") from error

    def wait(handles: list[Any], seconds: float) -> list[Any]:
        if not handles:
            time.sleep(seconds)
            return []
        ended, _ = futures.wait(handles, seconds, futures.FIRST_COMPLETED)
        return [one for one in handles if one in ended]

    return Executor(
        slots=lambda: len(workers),
        nodes=lambda: [None],
        submit=submit,
        wait=wait,
        result=result,
        cancel=lambda handle: _end(owner.pop(handle)),
        close=lambda: _end_all(workers),
    )


def _end_all(workers: list[_Worker]) -> None:
    """Ends the processes of all workers."""
    for one in workers:
        _end(one)


def _cores() -> list[int]:
    """Returns the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _submit(worker: _Worker, task: bytes) -> futures.Future[bytes]:
    """Gives a task to the process of a worker, which starts with the first one."""
    if worker.pool:
        return worker.pool[0].submit(_run, task)
    # A fork of a process with threads can stop for ever, so it is spawned.
    context = multiprocessing.get_context("spawn")
    pool = futures.ProcessPoolExecutor(
        1, mp_context=context, initializer=_begin, initargs=worker.given
    )
    worker.pool.append(pool)
    before = set(multiprocessing.active_children())
    with _without_main():
        handle = pool.submit(_run, task)
    worker.process.extend(set(multiprocessing.active_children()) - before)
    return handle


_given: list[Any] = []  # in the process of a worker: its function and its work


def _run(task: bytes) -> bytes:
    """Runs a task in the process of a worker."""
    function, work = _given
    return function(work, task)


def _begin(cores: tuple[int, ...], function: Function, work: bytes) -> None:
    """Prepares a process: its cores, its signals, its end with the main process."""
    _given[:] = [function, work]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"):  # for the main process
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when the main process has ended, also if it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _end(worker: _Worker) -> None:
    """Ends the process of a worker at once; the next task starts another one."""
    for process in worker.process:
        process.kill()
    for pool in worker.pool:
        pool.shutdown(wait=True, cancel_futures=True)
    for part in (worker.pool, worker.process, worker.task):
        part.clear()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Starts processes that do not import the main module of this one again.

    It would run a script that has no `if __name__ == "__main__"`. What the processes
    need of it is sent to them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
