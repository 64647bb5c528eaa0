"""Reads the examples of a streamed run by Grain, in a thread or in processes."""

import functools
import gc
import itertools
import multiprocessing
import os
import sys
import threading
from typing import Any, NamedTuple

import jax

from gradjax.data import streaming
from gradjax.errors import Refusal
from gradjax.types import Source

_REFUSAL = f"{Refusal.__module__}.{Refusal.__qualname__}"


class Part(NamedTuple):
    """The examples of one seed in a segment."""

    seed: int
    first: int  # block
    count: int  # of blocks


class Reader(NamedTuple):
    """Reads the examples of a part; it can be sent to another process."""

    source: Source
    batch_size: int
    block_steps: int
    num_steps: int
    capacity: int  # blocks for which there is room
    has_x64: bool
    parts: tuple[Part, ...] = ()

    def __call__(self, number: int) -> Any:
        """Returns the examples of a part by its number."""
        part, steps = self.parts[number], self.block_steps
        stop = min((part.first + part.count) * steps, self.num_steps)
        with jax.enable_x64(self.has_x64):  # it is another thread
            return streaming.read_steps(
                self.source,
                self.batch_size,
                part.seed,
                range(part.first * steps, stop),
                self.capacity * steps,
            )


def pipeline(reader: Reader) -> Any:
    """Returns an iterator over the examples of the parts of a reader."""
    grain = _grain()
    data = grain.MapDataset.range(len(reader.parts)).map(reader)
    ahead = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
    data = data.to_iter_dataset(ahead)
    workers = reader.source.workers
    if workers:
        _parse_flags()
        options = grain.MultiprocessingOptions(workers, per_worker_buffer_size=1)
        begin = functools.partial(_begin_worker, reader.has_x64)
        data = data.mp_prefetch(options, worker_init_fn=begin)
    return iter(data)


def _begin_worker(has_x64: bool, _worker: int, _num_workers: int) -> None:
    """Begins a process that reads; it ends as soon as the run has been killed."""
    jax.config.update("jax_platforms", "cpu")  # an accelerator is for the run alone
    jax.config.update("jax_enable_x64", has_x64)
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def free_shared_memory() -> None:
    """Frees the shared memory of the examples that Grain still has.

    Grain has circular references to it, and frees it in a thread, for which Python does
    not wait when it ends; it then warns of leaked memory.
    """
    gc.collect()
    module = sys.modules.get("grain._src.python.ipc.shared_memory_array")
    arrays = getattr(module, "SharedMemoryArray", None)
    freeing: Any = getattr(arrays, "_del_thread_pool", None)
    if freeing is not None:
        freeing.apply(int)  # its only thread does this last


def _parse_flags() -> None:
    """Lets Grain read its flags, which absl allows after it has parsed a command."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def _grain() -> Any:
    try:
        import grain
    except ImportError as error:
        raise Refusal(
            "streamed data is read by Grain, which is not installed: pip install"
            " 'gradjax[stream]'"
        ) from error
    return grain


def refused(error: Exception) -> Refusal:
    """Returns an error of the reader as one line, with the reason that it names."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if line.startswith(f"{_REFUSAL}: ")]
    if reasons:
        return Refusal(reasons[-1].removeprefix(f"{_REFUSAL}: "))
    if "terminated unexpectedly" in str(error):  # Grain's words for a dead process
        code = str(error).partition("exit code ")[2].partition(".")[0]
        return Refusal(
            f"the stream: a process that reads examples has ended (exit code {code}):"
            " where memory is short, fewer --stream_workers need less"
        )
    said = next(itertools.chain(lines, [""]))[:300]
    return Refusal(f"the stream: {type(error).__name__}: {said}")
