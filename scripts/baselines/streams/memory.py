"""The memory of a process that makes a streamed run, as Linux counts it."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp

import gradjax
from gradjax.commands import allocation
from gradjax.data.tfds import CACHE_BYTES
from gradjax.errors import Refusal
from scripts.baselines.streams import Memory, Network, Place, Speed, training

_EVERY_S = 0.02  # between two looks at the memory
_KINDS = ("RssAnon", "RssFile", "RssShmem")


def make(
    network: Network, place: Place, workers: int, cache: str
) -> Callable[[], Memory]:
    """Prepares to load the data and to train.

    The first call loads, compiles and trains one run, and watches the memory. Each
    later one trains another run, and has the memory of the first one.

    Args:
      network: what is trained.
      place: the data set.
      workers: the number of processes that read; 0: a thread.
      cache: the folder for decoded images.

    Raises:
      Refusal: the system is not Linux.
    """
    if not Path("/proc/self/status").exists():
        raise Refusal("the memory is read from /proc/self/status, which needs Linux")
    os.environ["XDG_CACHE_HOME"] = cache
    allocation.use_one_arena()  # as a command does
    jax.block_until_ready(jnp.zeros(1))  # starts the backend

    known: tuple[Memory, Callable[[], Speed]] | None = None

    def measure() -> Memory:
        nonlocal known
        if known is not None:
            first, train = known
            return first._replace(speed=train())
        start = of_process("self")["RssAnon"]
        with _watched() as loading:
            problem = training.load(network, place, CACHE_BYTES)
            problem = gradjax.streamed(problem, workers)
        with _watched() as running:
            train = training.runner(problem, network)
            compiled = of_process("self")["RssAnon"]
            speed = train()
        peak = {kind: max(loading[kind], running[kind]) for kind in _KINDS[1:]}
        first = Memory(
            start,
            loading["RssAnon"],
            compiled,
            running["RssAnon"],
            peak["RssFile"],
            peak["RssShmem"],
            running["worker"],
            speed,
        )
        known = first, train
        return first

    return measure


def of_process(process: str | int) -> dict[str, int]:
    """Returns the kinds of resident memory of a process in bytes.

    Raises:
      OSError: there is no such process.
    """
    found: dict[str, int] = dict.fromkeys(_KINDS, 0)
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        kind, _, value = line.partition(":")
        if kind in _KINDS:
            found[kind] = int(value.split()[0]) * 1024  # the file has kB
    return found


@contextlib.contextmanager
def _watched() -> Iterator[dict[str, int]]:
    """Yields the largest values of the memory until the end; "worker" of a child."""
    most: dict[str, int] = dict.fromkeys((*_KINDS, "worker"), 0)
    is_over = threading.Event()

    def look() -> None:
        for kind, size in of_process("self").items():
            most[kind] = max(most[kind], size)
        for child in _children():
            with contextlib.suppress(OSError):  # it has just ended
                most["worker"] = max(most["worker"], of_process(child)["RssAnon"])

    def watch() -> None:
        while not is_over.wait(_EVERY_S):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
        look()
    finally:
        is_over.set()
        thread.join()


def _children() -> list[int]:
    found = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            found += (task / "children").read_text().split()
    return [int(one) for one in found]
