"""Streamed splits: examples that are read from the host while a run goes on.

A split in memory is an argument of the compiled program, which gathers each batch by
`order(seed, epoch, position)`. Of a streamed split the program gets only the examples
of its next steps, in the order in which these take them. So a batch has the same
examples, a run has the same bits, and the data may be larger than the memory.

A source of one's own needs a function that reads examples:

    def read(indices):  # u32[n] -> a pytree of numpy arrays [n, ...]
        return {"x": my_file[indices], "y": my_labels[indices]}

    train = gradjax.stream(read, num_examples=10_000_000)
    problem = gradjax.problem(loss, init, train, {"x": x_held_out, "y": y_held_out})
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.counts import as_whole
from gradjax.data import arrays as in_memory
from gradjax.data import host, mapped_rows
from gradjax.data import order as order_of
from gradjax.data.order import MAX_EXAMPLES
from gradjax.errors import Refusal
from gradjax.own_code import named_errors
from gradjax.types import Problem, Source, Splits

Read = Callable[[np.ndarray], Any]
MAX_WORKERS = 256
STAGED_BYTES = 16 * 2**20  # of the examples of a call, of all its seeds together


class Staged(NamedTuple):
    """The examples of some successive steps, for one or several seeds."""

    examples: Any  # leaves [slots * steps * batch, ...], in the order of the steps
    seeds: Any  # u32[slots], the seed of each slot; a slot may be unused
    first: Any  # u32[], the first of the steps


def stream(read: Read, num_examples: int, workers: int = 0) -> Source:
    """Makes a streamed source from a function that reads examples.

    Args:
      read: (indices u32[n]) -> a pytree of numpy arrays [n, ...], the examples of these
        indices in this order. It is called in another thread, or with `workers` in
        other processes, to which it is sent by cloudpickle. The same index must always
        give the same example.
      num_examples: the number of examples, at most 2**31.
      workers: the number of processes that read; 0: a thread of this process.

    Returns:
      A Source, as the training examples of `gradjax.problem`. Validation and
      test are kept in memory.

    Raises:
      Refusal: an impossible count, or a first example that is no pytree of arrays of
        one finite example.
    """
    count = as_whole(num_examples)
    if count is None or not 1 <= count <= MAX_EXAMPLES:
        raise Refusal(f"num_examples={num_examples!r}: expected 1 to {MAX_EXAMPLES}")
    check_workers(workers)
    with named_errors("the stream: read(indices) fails"):
        first = read(np.zeros(1, np.uint32))
    sample = in_memory.source(jax.tree.map(_in_memory, first))
    if sample.num_examples != 1:
        raise Refusal(
            f"the stream: read of 1 index gives {sample.num_examples} examples;"
            " expected 1"
        )
    return Source(count, sample.arrays, in_memory.take, read, int(workers))


def streamed(problem: Problem, workers: int = 0) -> Problem:
    """Returns the problem with a train split that is streamed.

    The batches and the bits of a run are those of the problem in memory. Arrays of
    memory-mapped files (`np.load(path, mmap_mode="r")`) are read as they are needed
    and never copied whole. Validation and test stay in memory. The train split is not
    evaluated at the end of a run, so there has to be a validation split.

    Args:
      problem: with data.
      workers: the number of processes that read; 0: a thread of this process.

    Raises:
      Refusal: a problem without data or without a validation split, or an impossible
        number of workers.
    """
    data = problem.data
    if data is None:
        raise Refusal("stream: the problem has no data")
    check_workers(workers)
    train = data.train
    read = train.read or _reader(train)
    data = data._replace(train=stream(read, train.num_examples, workers))
    check_splits(data)
    return problem._replace(data=data)


def check_splits(data: Splits | None) -> None:
    """Refuses splits of which one is streamed and has to be evaluated.

    Raises:
      Refusal: validation or test is streamed, or the train split is and there is no
        validation split.
    """
    if data is None:
        return
    for name in ("validation", "test"):
        source = getattr(data, name)
        if source is not None and source.read is not None:
            raise Refusal(
                f"stream: the {name} split is streamed; it is evaluated and has to be"
                " arrays"
            )
    if data.train.read is not None and data.validation is None:
        raise Refusal(
            "stream: the problem has no validation split, and a streamed train split is"
            " not evaluated"
        )


def check_workers(workers: Any) -> None:
    """Refuses what is no number of processes."""
    count = as_whole(workers)
    if count is None or not 0 <= count <= MAX_WORKERS:
        raise Refusal(f"workers={workers!r}: must be from 0 to {MAX_WORKERS}")


def is_streamed(problem: Problem) -> bool:
    """Returns whether the train split of a problem is streamed."""
    return problem.data is not None and problem.data.train.read is not None


def example_bytes(source: Source) -> int:
    """Returns the size of one example of a streamed source."""
    return sum(x.nbytes for x in jax.tree.leaves(source.arrays))


def staged_steps(problem: Problem, batch_size: int | None) -> int | None:
    """Returns how many steps of one seed may be staged; None: it is not streamed."""
    if problem.data is None or problem.data.train.read is None:
        return None
    own = example_bytes(problem.data.train) * (batch_size or 1)
    return max(1, STAGED_BYTES // max(1, own))


def examples(source: Source, indices: Any) -> Any:
    """Returns examples of a source on the host, whether it is streamed or not.

    Args:
      source: of a split.
      indices: u32[n] or i64[n].

    Raises:
      Refusal: what `read_steps` refuses.
    """
    chosen = np.asarray(indices, np.uint32)
    if source.read is not None:
        return host.read(source, chosen)
    return jax.device_get(source.take(source.arrays, jnp.asarray(chosen)))


class Parts(NamedTuple):
    """The equal parts of every batch that are read here, for a mesh of devices."""

    count: int  # of all parts
    own: tuple[int, ...]  # those of the devices of this process, in rising order


def read_steps(
    source: Source,
    batch_size: int,
    seed: int,
    steps: range,
    capacity: int,
    parts: Parts | None = None,
) -> Any:
    """Reads the examples of successive steps in the order in which they are taken.

    Args:
      source: a streamed source.
      batch_size: examples of a step.
      seed: of the run.
      steps: the steps.
      capacity: steps for which the result has room.
      parts: of each batch; None: the complete batch.

    Returns:
      A pytree of numpy arrays [capacity * batch_size, ...]; zeros after the last step.
      With parts, [own parts * capacity * batch_size / parts, ...]: the steps of one
      part after those of another.

    Raises:
      Refusal: the examples differ in type or shape from the first example, a value is
        not a finite number in this type, or `read` fails.
    """
    size, numbers = source.num_examples, np.arange(steps.start, steps.stop)
    epochs, positions = order_of.places(numbers, batch_size, size)
    indices = order_of.order(seed, epochs.ravel(), positions.ravel(), size)
    count, own = parts or Parts(1, (0,))
    by_part = indices.reshape(len(numbers), count, -1).swapaxes(0, 1)[list(own)]
    found, room = host.read(source, by_part.reshape(-1)), capacity * batch_size // count

    def padded(values: np.ndarray) -> np.ndarray:
        if len(values) == room * len(own):
            return values
        whole = np.zeros((len(own), room, *values.shape[1:]), values.dtype)
        num_read = len(values) // len(own)
        whole[:, :num_read] = values.reshape(len(own), num_read, *values.shape[1:])
        return whole.reshape(-1, *values.shape[1:])

    return jax.tree.map(padded, found)


def empty(source: Source, room: int) -> Any:
    """Returns zeros in place of so many examples, which no step takes."""
    return jax.tree.map(
        lambda x: np.zeros((room, *x.shape[1:]), x.dtype), source.arrays
    )


def places(staged: Staged, seed: Any, start: Any, num_steps: int, batch: int) -> Any:
    """Returns where the examples of successive steps are in staged examples.

    Args:
      staged: the examples.
      seed: u32[], of the run.
      start: u32[], the first step.
      num_steps: the number of steps.
      batch: examples of a step.

    Returns:
      u32[steps, batch], for the source's `take`.
    """
    slots = staged.seeds.shape[0]
    rows = jax.tree.leaves(staged.examples)[0].shape[0] // slots
    slot = jnp.argmax(staged.seeds == seed).astype(jnp.uint32)
    begin = slot * jnp.uint32(rows) + (start - staged.first) * jnp.uint32(batch)
    count = jnp.arange(num_steps * batch, dtype=jnp.uint32)
    return (begin + count).reshape(num_steps, batch)


def _in_memory(leaf: Any) -> Any:
    return np.array(leaf) if isinstance(leaf, np.memmap) else leaf


def _reader(source: Source) -> Read:
    """Returns a function that reads the examples of a source from its arrays.

    A `take` of its own may have a method `on_host` (arrays, indices u32[n], both of
    numpy) -> examples, which reads memory-mapped arrays in parts.
    """
    if source.take is in_memory.take:
        return mapped_rows.Rows(jax.tree.map(mapped_rows.on_host, source.arrays))
    if (on_host := getattr(source.take, "on_host", None)) is not None:
        host = jax.tree.map(mapped_rows.on_host, source.arrays)
        return mapped_rows.Rows(host, on_host)
    return TakenRows(source.take, source.arrays)


class TakenRows(NamedTuple):
    """Reads examples of arrays in memory by the `take` of their source."""

    take: Callable[[Any, Any], Any]
    arrays: Any

    def __call__(self, indices: np.ndarray) -> Any:
        """Returns the examples of u32[n] indices."""
        return jax.device_get(jax.jit(self.take)(self.arrays, jnp.asarray(indices)))
