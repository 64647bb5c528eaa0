"""The benchmark of streamed data: its speed, and its memory as the data grows.

The first table compares a run in memory with streamed runs, with and without the file
of decoded images. The second one has the memory and the speed of streamed runs on
synthetic images of several sizes.
"""

from typing import NamedTuple

IN_MEMORY = "in memory"
STREAMED = "`--stream`"
UNCACHED = "`--stream --cache_bytes=0`"
WAYS = (IN_MEMORY, STREAMED, UNCACHED)


class Network(NamedTuple):
    """A network and the length of its runs."""

    title: str
    model: str
    batch_size: int
    num_steps: int  # of a run
    uncached_steps: int  # the same without the file of decoded images, which is slow


NETWORKS = {
    "mlp": Network("MLP 784-128-10, batch 32", "mlp", 32, 20_000, 2_000),
    "cnn": Network("CNN 32-64-10, batch 128", "cnn", 128, 200, 100),
}


class Place(NamedTuple):
    """A data set on the disk."""

    name: str
    data_dir: str


class Speed(NamedTuple):
    """How fast a run was."""

    examples_per_s: float  # with the wait for the first examples
    loss: float  # of the last steps


class Memory(NamedTuple):
    """The memory of a process that makes a streamed run, in bytes."""

    start: int  # anonymous, before the data are loaded
    loaded: int  # the most anonymous memory while they were decoded and loaded
    compiled: int  # anonymous, after the program was compiled
    trained: int  # the most anonymous memory while it was compiled and trained
    file_backed: int  # the most pages of files, which the system may drop
    shared: int  # the most shared memory, through which processes send examples
    worker: int  # the most anonymous memory of a process that reads; 0: a thread reads
    speed: Speed
