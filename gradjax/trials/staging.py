"""Stages the examples of a streamed run: reads those of the next segment beforehand.

Before a segment runs, the calls of the lanes say which seeds need the examples of which
steps (`expect`). From then on Grain reads, in a thread or in processes, the examples of
these seeds, and after them those of the following segment, which is probably the next
one. So the examples of a segment are read while the one before it runs. The lanes of
one seed share its examples, which are read once.

Grain only reads. The order of the examples is `data.order`, so a run goes on at any
step without a state of the reader.
"""

import threading
from typing import Any, cast

import jax
import numpy as np

from gradjax.data import streaming
from gradjax.data.streaming import Staged
from gradjax.training import mesh
from gradjax.training.blocks import num_blocks
from gradjax.trials.reader import Part, Parts, Pipeline, Reader
from gradjax.types import Program, Source

_CACHED_BYTES = 128 * 2**20  # of the examples of other calls that wait for their turn


def capacity(program: Program, slots: int) -> int:
    """Returns how many blocks of a streamed program may be staged, at least 1.

    It has no bound for a program in memory.

    Args:
      program: a program.
      slots: the number of seeds for which there is room.
    """
    plan = program.plan
    most = streaming.staged_steps(plan.problem, plan.batch_size)
    if most is None:
        return num_blocks(plan)
    return max(1, most // (slots * plan.block_steps))


def shapes(program: Program, capacity: int, slots: int) -> Staged:
    """Returns the shapes of the staged examples of a call.

    Args:
      program: a streamed program.
      capacity: blocks for which there is room.
      slots: the number of seeds for which there is room.
    """
    plan, source = program.plan, _train(program)
    rows = slots * capacity * plan.block_steps * (plan.batch_size or 1)
    examples = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype), source.arrays
    )
    shaped = jax.ShapeDtypeStruct
    return Staged(examples, shaped((slots,), np.uint32), shaped((), np.uint32))


class Stage:
    """The examples that are read and wait for their segment."""

    def __init__(self, program: Program, capacity: int, slots: int):
        """Makes a stage; it reads nothing before it is asked.

        Args:
          program: a streamed program.
          capacity: blocks for which there is room.
          slots: the number of seeds for which there is room.
        """
        plan, self._source = program.plan, _train(program)
        on_host = self._source._replace(arrays=jax.device_get(self._source.arrays))
        self._reader = Reader(
            on_host,
            plan.batch_size or 1,
            plan.block_steps,
            plan.num_steps,
            capacity,
            cast(Any, jax.config).jax_enable_x64,
            of_batch=mesh.own_parts(plan.mesh),
        )
        self._num_blocks = num_blocks(plan)
        rows = capacity * plan.block_steps * (plan.batch_size or 1)
        if (parts := self._reader.of_batch) is not None:
            rows = rows // parts.count * len(parts.own)
        self._slots, own = slots, rows * streaming.example_bytes(self._source)
        self._most_known = max(2 * slots, _CACHED_BYTES // max(1, own))
        self._unused = streaming.empty(self._source, rows)
        self._known: dict[Part, Any] = {}  # in the order of their last use
        self._parts: Parts | None = None  # what the pipeline gives, in this order
        self._at = 0  # the next of them
        self._pipeline: Pipeline | None = None
        self._lock = threading.Lock()

    def expect(self, seeds: Any, first: int, count: int) -> None:
        """Begins to read what the calls of a segment will ask for.

        Args:
          seeds: u32[trials], in the order of the calls; a seed may occur repeatedly.
          first: the first block of the segment.
          count: the number of its blocks.
        """
        wanted = [Part(seed, first, count) for seed in dict.fromkeys(map(int, seeds))]
        with self._lock:
            wanted = [one for one in wanted if self._found(one) is None]
            coming = self._coming(len(wanted))
            if (
                not count
                or len(coming) == len(wanted)
                and all(map(_has, coming, wanted))
            ):
                return
            self._begin(wanted)

    def __call__(self, seeds: Any, first: int, count: int) -> Staged:
        """Returns the examples of the next blocks of a call.

        Args:
          seeds: u32[lanes].
          first: the first block.
          count: the number of blocks; 0: no examples are needed.

        Raises:
          Refusal: an example cannot be read; the line says why.
        """
        used = list(dict.fromkeys(map(int, seeds))) if count else []
        found = [self._take(Part(seed, first, count)) for seed in used]
        found += [self._unused] * (self._slots - len(used))
        own = np.asarray(used + [0] * (self._slots - len(used)), np.uint32)
        if used:  # an unused slot has the seed of the first one, which is found first
            own[len(used) :] = used[0]
        examples = found[0]
        if self._slots > 1:
            examples = jax.tree.map(lambda *leaves: np.concatenate(leaves), *found)
        return Staged(examples, own, np.uint32(first * self._reader.block_steps))

    def close(self) -> None:
        """Ends the reading, and its processes."""
        with self._lock:
            self._end()
            self._known.clear()

    def _take(self, part: Part) -> Any:
        with self._lock:
            place = self._found(part)
            if place is None:
                if not any(_has(one, part) for one in self._coming()):
                    self._begin([part])
                while place is None:
                    self._read_next()
                    place = self._found(part)
            found = self._known[place] = self._known.pop(place)
            self._forget(part)
            return found

    def _found(self, part: Part) -> Part | None:
        """Returns the part that has been read and begins with what is asked for."""
        return next((one for one in self._known if _has(one, part)), None)

    def _coming(self, most: int | None = None) -> list[Part]:
        """Returns what the pipeline gives next; None: of the next two segments."""
        parts = self._parts
        if parts is None:
            return []
        most = 2 * len(parts.first) if most is None else most
        until = min(self._at + most, parts.total())
        return [parts.part(number) for number in range(self._at, until)]

    def _read_next(self) -> None:
        """Waits for the next part of the pipeline."""
        assert self._parts is not None and self._pipeline is not None
        try:
            found = next(self._pipeline)
        except BaseException:
            self._end()
            raise
        self._known[self._parts.part(self._at)] = found
        self._at += 1

    def _forget(self, part: Part) -> None:
        """Drops the parts of earlier segments, and those that were used longest ago."""
        for one in [one for one in self._known if one.first < part.first]:
            del self._known[one]
        while len(self._known) > self._most_known:
            del self._known[next(iter(self._known))]

    def _begin(self, wanted: list[Part]) -> None:
        """Starts to read these parts, and then what probably follows them."""
        self._end()
        parts = Parts(tuple(wanted), self._reader.capacity, self._num_blocks)
        self._pipeline = Pipeline(self._reader._replace(parts=parts))
        self._parts = parts

    def _end(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        self._parts, self._at = None, 0
        if pipeline is not None:
            pipeline.close()


def _has(one: Part, asked: Part) -> bool:
    """Returns whether a part begins with what is asked for."""
    return one[:2] == asked[:2] and one.count >= asked.count


def _train(program: Program) -> Source:
    data = program.plan.problem.data
    assert data is not None
    return data.train
