"""The benchmark of scale: a sweep of small trials on one core and on all cores.

Each way of using the cores runs the same trials in processes that stay, one way at a
time. To add a way, add an entry to `WAYS`.
"""

from typing import NamedTuple


class Task(NamedTuple):
    """A sweep of an MLP on random images of 8x8 pixels, with Adam, batch 32."""

    title: str
    hidden: int  # units of the hidden layer
    width: int  # lanes of a call
    num_calls: int  # of each core
    num_steps: int  # of a trial

    def num_trials(self, num_cores: int) -> int:
        """Returns the trials of the sweep: all cores are busy to the end."""
        return self.width * self.num_calls * num_cores


class Way(NamedTuple):
    """A way of using the cores.

    Attributes:
      label: of its row.
      num_cores: of each process; 0: all.
      is_pinned: each process has cores of its own and shares the trials equally.
      has_devices: each core is a device of JAX, and not one of several worker threads.
      has_executor: `executors.processes` trains a call of lanes as one task.
    """

    label: str
    num_cores: int = 0
    is_pinned: bool = False
    has_devices: bool = False
    has_executor: bool = False


TASKS = (
    Task("MLP 64-32-10, 64 lanes", 32, 64, 2, 1_000),
    Task("MLP 64-32-10, one trial a call", 32, 1, 8, 4_000),
)
ONE = "one core"
WAYS = {
    ONE: Way("one core: `--num_devices=1`", num_cores=1),
    "threads": Way("a worker thread a core, which is the default"),
    "devices": Way("a device of JAX a core", has_devices=True),
    "pinned": Way("a pinned process a core, each a part of the trials", 1, True),
    "executor": Way(
        "`--executor=processes`, a call of lanes a task", has_executor=True
    ),
}
TARGET = 0.9  # of the throughput of one core, times the number of cores
