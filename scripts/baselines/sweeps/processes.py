"""A fresh process for each measurement, on all cores or pinned to some of them.

A process first makes itself ready (imports, data), then waits to be told to begin: so
two of them can begin together, and one that waits uses no core.
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
    """The parent's end of a process that is ready."""

    begin: Callable[[], None]
    answer: Callable[[], Any]  # waits for what it found


@contextlib.contextmanager
def started(
    module: str,
    arguments: tuple[Any, ...],
    pinned_to: int | None = None,
    is_on_cpu: bool = True,
) -> Iterator[Worker]:
    """A process that has called `module.make(*arguments)`; it is ended at the exit.

    Args:
      module: of scripts.baselines.sweeps.
      arguments: of its `make`.
      pinned_to: the one core of the process; None: all there are.
      is_on_cpu: keep jax off an accelerator.

    Raises:
      Refusal: processes cannot be pinned on this system.
      RuntimeError: the process died; its own traceback is on stderr.
    """
    # A forked child would inherit the locks of jax's threads.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve, args=(theirs, module, arguments, is_on_cpu), daemon=True
    )
    with _on_core(pinned_to):  # inherited, and so known to every thread pool in there
        process.start()
    theirs.close()  # so that a dead process is an end of file here

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
    made = importlib.import_module(f"scripts.baselines.sweeps.{module}")
    measure = made.make(*arguments)
    with contextlib.suppress(EOFError):  # the parent has closed its end: we are done
        pipe.send(None)
        while True:
            pipe.recv()
            pipe.send(measure())
