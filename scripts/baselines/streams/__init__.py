"""The benchmark of streamed data: its speed, and its memory as the data grows.

A table of each network compares a run in memory with streamed runs; those of images are
with and without the file of decoded images. The last table has the memory and the speed
of streamed runs on synthetic images of several sizes.
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
    ways: tuple[str, ...] = WAYS
    is_text: bool = False  # its examples are windows of tokens


NETWORKS = {
    "mlp": Network("MLP 784-128-10, batch 32", "mlp", 32, 20_000, 2_000),
    "cnn": Network("CNN 32-64-10, batch 128", "cnn", 128, 200, 100),
    "transformer": Network(
        "Transformer 3 x 128 over windows of 128 tokens, batch 32",
        "transformer(depth=3, width=128)",
        32,
        40,
        0,
        (IN_MEMORY, STREAMED),
        is_text=True,
    ),
}


class Place(NamedTuple):
    """A data set on the disk."""

    name: str  # or the path of a text
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
