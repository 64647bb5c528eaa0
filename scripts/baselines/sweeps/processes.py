"""Starts a new process for each measurement, on all cores or pinned to one core.

A process first prepares (imports, data) and then waits until it may begin. So two
processes can begin together, and a process that waits uses no core.
"""

import contextlib
import importlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from gradjax.errors import Refusal


class Worker(NamedTuple):
    """A process that is ready, as the parent sees it."""

    begin: Callable[[], None]
    answer: Callable[[], Any]  # waits for its result


@contextlib.contextmanager
def start(
    module: str,
    arguments: tuple[Any, ...],
    pinned_to: int | None = None,
    is_on_cpu: bool = True,
    has_children: bool = False,
) -> Iterator[Worker]:
    """Starts a process that calls `module.make(*arguments)`; ends it at the exit.

    Args:
      module: a module of scripts.baselines.sweeps, or the full name of another one.
      arguments: the arguments of its `make`.
      pinned_to: the only core of the process; None: all cores.
      is_on_cpu: run jax on the CPU, although there may be an accelerator.
      has_children: the process starts processes of its own, as Grain does.

    Raises:
      Refusal: processes cannot be pinned on this system.
      RuntimeError: the process died; its traceback is on stderr.
    """
    # A forked child would inherit the locks of jax's threads.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve,
        args=(theirs, module, arguments, is_on_cpu),
        daemon=not has_children,
    )
    with _on_core(pinned_to):  # the process inherits it before its thread pools start
        process.start()
    theirs.close()  # so that the end of the process is an end of file here

    def answer() -> Any:
        try:
            return ours.recv()
        except (EOFError, ConnectionError) as error:
            raise RuntimeError(f"the process of {module} died") from error

    try:
        answer()  # it is ready
        yield Worker(lambda: ours.send(None), answer)
    finally:
        ours.close()
        process.join(timeout=10)
        process.kill()


@contextlib.contextmanager
def _on_core(core: int | None) -> Iterator[None]:
    if core is None:
        yield
        return
    if not hasattr(os, "sched_setaffinity"):
        raise Refusal("the sweep pins processes to cores, which needs Linux")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _serve(
    pipe: Connection, module: str, arguments: tuple[Any, ...], is_on_cpu: bool
) -> None:
    if is_on_cpu:
        import jax

        jax.config.update("jax_platforms", "cpu")
    name = module if "." in module else f"scripts.baselines.sweeps.{module}"
    made = importlib.import_module(name)
    measure = made.make(*arguments)
    with contextlib.suppress(EOFError):  # the parent has closed its end of the pipe
        pipe.send(None)
        while True:
            pipe.recv()
            pipe.send(measure())
