"""Starts the executor of a command, and gives it the batches of a round."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from gradjax import executors
from gradjax.errors import Refusal
from gradjax.executors import Asked, Executor, ray_address
from gradjax.records import lock
from gradjax.records.adopted import File
from gradjax.sweeps import batch, dispatch, remote
from gradjax.sweeps.batch import Task
from gradjax.sweeps.dispatch import Hooks
from gradjax.sweeps.remote import Work
from gradjax.trials.lanes import Lanes
from gradjax.types import Settings, Sweep

StartExecutor = Callable[[], Executor]  # the same one at each call


def check(asked: Sweep) -> None:
    """Refuses flags of executors that are unknown, impossible or without effect.

    Raises:
        Refusal: the line names the flag.
    """
    executors.check(asked.executor)
    if asked.num_workers is not None and asked.num_workers < 1:
        raise Refusal(f"--num_workers={asked.num_workers}: must be at least 1")
    if asked.executor == executors.INLINE:
        for name, value in (
            ("num_workers", asked.num_workers),
            ("ray_address", asked.ray_address),
            ("accept_mixed_bits", asked.accept_mixed_bits or None),
        ):
            if value is not None:
                raise Refusal(
                    f"--{name}={value}: --executor=inline has no workers; name another"
                    f" one: {', '.join(executors.EXECUTORS)}"
                )
        return
    if asked.ray_address is not None and asked.executor != "ray":
        raise Refusal(f"--ray_address={asked.ray_address}: give --executor=ray, too")
    if asked.executor == "ray":
        ray_address.check(asked.ray_address or Asked().address)
    if asked.halving is not None:
        raise Refusal(
            f"--halving={asked.halving} compares all trials of a program at each rung:"
            " train with --executor=inline"
        )
    if asked.mesh is not None:
        raise Refusal(
            f"--mesh={asked.mesh}: a worker computes on one device; train with"
            " --executor=inline"
        )
    if asked.num_devices is not None:
        raise Refusal(
            f"--num_devices={asked.num_devices} is of --executor=inline; give"
            " --num_workers"
        )


@contextlib.contextmanager
def executor(
    asked: Sweep, work: Callable[[], Work], say: Callable[[str], None]
) -> Iterator[StartExecutor | None]:
    """Yields a function that starts the executor where it is needed first.

    Its workers are asked first whether they are as the record needs them.

    Args:
      asked: names the executor.
      work: makes what is sent to each worker once.
      say: is called with lines for a person.

    Yields:
      The function; None for the executor of this process, which trains inline.
    """
    if asked.executor == executors.INLINE:
        yield None
        return
    with contextlib.ExitStack() as stack:

        @functools.cache
        def start() -> Executor:
            made = work()
            threads = made.environment.get("num_threads")
            address = asked.ray_address or Asked().address
            how = Asked(asked.num_workers, threads, address)
            begin = executors.EXECUTORS[asked.executor]
            running = begin(remote.run, remote.dump(made), how)
            stack.callback(running.close)
            dispatch.probe(running, say)
            return running

        yield start


def train(
    store: Any,
    start: StartExecutor,
    tasks: list[Task],
    lanes: Callable[[Settings], Lanes],
    hooks: Hooks,
) -> None:
    """Trains those batches of a round of which nothing is committed.

    Args:
      store: open to write.
      start: from `executor`.
      tasks: of all batches of the round.
      lanes: settings of a group -> its lanes.
      hooks: see `dispatch.run`, without `set_aside`.

    Raises:
        Refusal: see `dispatch.run`.
        Interrupted: likewise.
    """
    left = set(dispatch.left_of(store, [one.prefix for one in tasks]))
    if not left:
        return

    def set_aside(task: Task) -> list[File]:
        return batch.set_aside(lanes(task.trials[0].settings), task)

    writer = lock.owner(store.folder)
    own = [one._replace(writer=writer) for one in tasks if one.prefix in left]
    dispatch.run(store, start(), own, hooks._replace(set_aside=set_aside))
