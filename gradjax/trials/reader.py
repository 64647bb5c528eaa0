"""Reads the examples of a streamed run by Grain, in a thread or in processes."""

import contextlib
import functools
import gc
import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from typing import Any, NamedTuple

import jax
import numpy as np

from gradjax.data import streaming
from gradjax.errors import Refusal
from gradjax.own_code import named_errors
from gradjax.types import Source

_REFUSAL = f"{Refusal.__module__}.{Refusal.__qualname__}"


class Part(NamedTuple):
    """The examples of one seed in a segment."""

    seed: int
    first: int  # block
    count: int  # of blocks


class Parts(NamedTuple):
    """The parts that a pipeline gives: those of a segment, then what probably follows.

    A long run has millions of them, which are therefore computed and not stored.
    """

    first: tuple[Part, ...]  # of one segment, one for each seed
    capacity: int  # blocks of each following segment
    num_blocks: int  # of the run

    def total(self) -> int:
        """Returns the number of parts up to the end of the run."""
        left = self.num_blocks - self.first[0].first - self.first[0].count
        return len(self.first) * (1 + -(-max(0, left) // self.capacity))

    def part(self, number: int) -> Part:
        """Returns a part by its number, below the total."""
        turn, k = divmod(number, len(self.first))
        one = self.first[k]
        if not turn:
            return one
        at = one.first + one.count + (turn - 1) * self.capacity
        return Part(one.seed, at, min(self.capacity, self.num_blocks - at))


class Reader(NamedTuple):
    """Reads the examples of a part; it can be sent to another process."""

    source: Source
    batch_size: int
    block_steps: int
    num_steps: int
    capacity: int  # blocks for which there is room
    has_x64: bool
    parts: Parts | None = None
    of_batch: streaming.Parts | None = None  # that are read of each batch

    def __call__(self, number: int) -> Any:
        """Returns the examples of a part by its number."""
        assert self.parts is not None
        part, steps = self.parts.part(number), self.block_steps
        stop = min((part.first + part.count) * steps, self.num_steps)
        with jax.enable_x64(self.has_x64):  # it is another thread
            return streaming.read_steps(
                self.source,
                self.batch_size,
                part.seed,
                range(part.first * steps, stop),
                self.capacity * steps,
                self.of_batch,
            )


class Pipeline:
    """An iterator over the examples of the parts of a reader."""

    def __init__(self, reader: Reader):
        """Makes the iterator; the processes begin with the first examples."""
        grain = _grain()
        assert reader.parts is not None
        self._workers, self._folder, read = reader.source.workers, None, reader
        if self._workers:
            self._folder, read = _sent(reader)
        data = grain.MapDataset.range(reader.parts.total()).map(read)
        ahead = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
        data = data.to_iter_dataset(ahead)
        if self._workers:
            _parse_flags()
            options = grain.MultiprocessingOptions(
                self._workers, per_worker_buffer_size=1
            )
            begin = functools.partial(_begin_worker, reader.has_x64)
            data = data.mp_prefetch(options, worker_init_fn=begin)
        self._iterator, self._count = iter(data), 0

    def __next__(self) -> Any:
        """Returns the examples of the next part.

        Raises:
          Refusal: they cannot be read; the line says why.
        """
        with _inherited_by_workers() if self._workers else contextlib.nullcontext():
            try:
                # The arrays of a process are in shared memory, which is freed here.
                found = next(self._iterator)
                found = jax.tree.map(np.array, found) if self._workers else found
            except Refusal:
                raise
            except Exception as error:
                raise _refused(error) from error
        self._count += 1
        if self._count == self._workers and self._folder is not None:
            self._folder.cleanup()  # each process, in its turn, has opened the file
        return found

    def close(self) -> None:
        """Ends the reading, and its processes."""
        with contextlib.suppress(Exception):  # of a process that has died
            self._iterator.close()
        del self._iterator
        if self._folder is not None:
            self._folder.cleanup()
            _free_shared_memory()


class _Sent:
    """A reader in a file, which another process opens at its first call.

    Python hands its arguments to a new process through a pipe. It waits forever if they
    are larger than the pipe, and the process dies before it has read them.
    """

    def __init__(self, path: str):
        self._path, self._reader = path, None

    def __call__(self, number: int) -> Any:
        """Returns the examples of a part by its number."""
        if self._reader is None:
            what = "the stream: a process cannot load read(indices)"
            with named_errors(what), open(self._path, "rb") as file:
                self._reader = pickle.load(file)
        return self._reader(number)


def _sent(reader: Reader) -> tuple[tempfile.TemporaryDirectory[str], _Sent]:
    """Writes a reader to a temporary file, which ends with the folder."""
    import cloudpickle  # a dependency of Grain

    folder = tempfile.TemporaryDirectory(prefix="gradjax-")
    path = os.path.join(folder.name, "reader")
    try:
        what = "the stream: read(indices) cannot be sent to a process"
        with named_errors(what), open(path, "wb") as file:
            cloudpickle.dump(reader, file)
    except BaseException:
        folder.cleanup()
        raise
    return folder, _Sent(path)


@contextlib.contextmanager
def _inherited_by_workers() -> Iterator[None]:
    """Blocks the signals that the run hears in what is started inside."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _heard())
    try:
        resource_tracker.ensure_running()  # it ends the block of SIGINT and SIGTERM
        signal.pthread_sigmask(signal.SIG_BLOCK, _heard())
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _heard() -> list[int]:
    """Returns the signals that a run hears; Windows lacks some."""
    names = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _begin_worker(has_x64: bool, _worker: int, _num_workers: int) -> None:
    """Begins a process that reads; it ends with the run, and at no other signal.

    A terminal sends Ctrl-C to all processes, and the run first finishes its segment.
    """
    for number in _heard():
        signal.signal(number, signal.SIG_IGN)
    jax.config.update("jax_platforms", "cpu")  # an accelerator is for the run alone
    jax.config.update("jax_enable_x64", has_x64)
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _free_shared_memory() -> None:
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


def _refused(error: Exception) -> Refusal:
    """Returns an error of the reader as one line, with the reason that it names."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if line.startswith(f"{_REFUSAL}: ")]
    if reasons:
        return Refusal(reasons[-1].removeprefix(f"{_REFUSAL}: "))
    if "terminated unexpectedly" in str(error):  # Grain's words for a dead process
        code = str(error).partition("exit code ")[2].partition(".")[0]
        hint = "where memory is short, fewer processes need less"
        if code == "1":
            hint = "a script needs `if __name__ == '__main__':` around what it runs"
        return Refusal(
            f"the stream: a process that reads examples has ended (exit code {code});"
            f" {hint}"
        )
    said = next(itertools.chain(lines, [""]))[:300]
    return Refusal(f"the stream: {type(error).__name__}: {said}")
