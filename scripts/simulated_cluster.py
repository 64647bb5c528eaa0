"""An executor whose workers are simulated: what a cluster does to a sweep, in seconds.

The workers have a clock of their own, which stands still while the driver computes, and
which `wait` advances to the next event. A simulated worker trains nothing. It writes
the files that a worker writes, by the same code, with numbers that follow from the ids
of its trials.
"""

import hashlib
import heapq
import io
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.executors import Executor, WorkerLost
from gradjax.records import adopted
from gradjax.sweeps.batch import Counts, Task
from gradjax.sweeps.remote import Answer

NODE = 8  # workers of a machine
_SPREAD = 0.3  # of the logarithm of the time of a task
_SLOWER = (10.0, 50.0)  # the time of a straggler, over that of another task
_AWAY_S = 600.0  # that a lost machine is away, on average


class Cluster(NamedTuple):
    """What a simulated cluster is like."""

    num_workers: int
    failures: float = 0.05  # the share of tasks whose worker is lost; of these about
    # half are lost with their complete machine
    stragglers: float = 0.01  # the share of tasks that take 10 to 50 times as long
    poisoned: float = 0.0  # the share of batches that end each of their workers
    task_s: float = 60.0  # the median time of a task
    seed: int = 0


class Log(NamedTuple):
    """What a simulated cluster has seen, which the executor changes."""

    now: list[float]  # one number: the clock, in seconds
    outside: list[float]  # [CPU, wall] seconds of the workers and of the simulation
    answers: list[tuple[float, float]]  # [CPU, wall] seconds of the driver so far, when
    # it has asked for the answer of a task, in order
    poisoned: set[str]  # prefixes of batches that end their workers
    counts: dict[str, int]  # tasks, lost, machines, cancelled and most_at_once

    def clock(self) -> float:
        """Returns the time of the cluster in seconds."""
        return self.now[0]


Write = Callable[[Task], list[adopted.File]]


class _State(NamedTuple):
    """The workers and the tasks that run on them."""

    free: list[int]
    away: set[int]  # machines that are lost
    running: dict[int, tuple[int, Task]]  # handle -> (worker, task)
    at: dict[int, int]  # worker -> handle
    ended: dict[int, str]  # handle -> "answer", or why there is none
    events: list[tuple[float, int, str, int]]  # a heap: (time, order, kind, which)


def new_log() -> Log:
    """Returns the log of a cluster that has not begun."""
    names = ("tasks", "lost", "machines", "cancelled", "most_at_once")
    return Log([0.0], [0.0, 0.0], [], set(), dict.fromkeys(names, 0))


def start(cluster: Cluster, write: Write, log: Log) -> Executor:
    """Starts a simulated cluster.

    Args:
      cluster: what it is like.
      write: writes the files of a batch, as a worker does.
      log: is changed.
    """
    random = np.random.default_rng(cluster.seed)
    state = _State(list(range(cluster.num_workers)), set(), {}, {}, {}, [])
    counter = iter(range(2**62))

    def at(seconds: float, kind: str, which: int) -> None:
        event = (log.now[0] + seconds, next(counter), kind, which)
        heapq.heappush(state.events, event)

    def submit(task: bytes, node: Any) -> int:
        del node  # every worker is alike
        with _outside(log):
            asked: Task = pickle.loads(task)
            handle, worker = next(counter), state.free.pop()
            state.running[handle], state.at[worker] = (worker, asked), handle
            log.counts["tasks"] += 1
            at_once = max(log.counts["most_at_once"], len(state.running))
            log.counts["most_at_once"] = at_once
            took = cluster.task_s * random.lognormal(0.0, _SPREAD)
            if random.random() < cluster.stragglers:
                took *= random.uniform(*_SLOWER)
            moment, chance = took * random.random(), random.random()
            if _is_poisoned(asked.prefix, cluster):
                log.poisoned.add(asked.prefix)
                at(moment, "worker", handle)
            elif chance < cluster.failures / 2:
                at(moment, "worker", handle)
            elif chance < cluster.failures / 2 * (1 + 1 / NODE):
                at(moment, "machine", worker // NODE)
            at(took, "answer", handle)
            return handle

    def happen(kind: str, which: int) -> None:
        if kind == "back":
            state.away.discard(which)
            own = range(which * NODE, min((which + 1) * NODE, cluster.num_workers))
            state.free.extend(own)
        elif kind == "machine":
            if which not in state.away:
                log.counts["machines"] += 1
                _lose_machine(state, which)
                at(random.exponential(_AWAY_S), "back", which)
        elif which in state.running and which not in state.ended:
            said = "answer" if kind == "answer" else "its process ended"
            _end(state, which, said)

    def wait(handles: list[int], seconds: float) -> list[int]:
        del handles  # all of them are asked for
        with _outside(log):
            known = list(state.ended)
            until = log.now[0] + seconds
            while not known and state.events and state.events[0][0] <= until:
                log.now[0], _, kind, which = heapq.heappop(state.events)
                happen(kind, which)
                known = list(state.ended)
            log.now[0] = log.now[0] if known else until
            return known

    def result(handle: int) -> bytes:
        with _outside(log):
            log.answers.append(_driver(log))
            _, task = state.running.pop(handle)
            reason = state.ended.pop(handle)
            if reason != "answer":
                log.counts["lost"] += 1
                raise WorkerLost(reason)
            files, counts = write(task), Counts(len(task.trials))
            return pickle.dumps(Answer("a simulated worker", None, None, files, counts))

    def cancel(handle: int) -> None:
        with _outside(log):
            log.counts["cancelled"] += 1
            if handle not in state.ended:
                _end(state, handle, "cancelled")
            del state.ended[handle], state.running[handle]

    return Executor(
        slots=lambda: len(state.free) + len(state.at),
        nodes=lambda: [None],
        submit=submit,
        wait=wait,
        result=result,
        cancel=cancel,
        close=lambda: None,
    )


def _end(state: _State, handle: int, said: str) -> None:
    """Ends a task; its worker is free, if its machine is there."""
    worker, _ = state.running[handle]
    state.ended[handle] = said
    del state.at[worker]
    if worker // NODE not in state.away:
        state.free.append(worker)


def _lose_machine(state: _State, machine: int) -> None:
    """Ends all tasks of a machine, whose workers are away from now on."""
    state.away.add(machine)
    for worker in [one for one in state.at if one // NODE == machine]:
        _end(state, state.at[worker], "its machine is lost")
    state.free[:] = [one for one in state.free if one // NODE != machine]


def _is_poisoned(prefix: str, cluster: Cluster) -> bool:
    """Returns whether a batch ends each of its workers; another one never does."""
    return _uniform(f"{cluster.seed} {prefix}") < cluster.poisoned


def _uniform(text: str) -> float:
    """Returns a number from 0 to 1 that follows from a text."""
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


@contextmanager
def _outside(log: Log) -> Iterator[None]:
    """Counts the time of its body as that of the cluster, and not of the driver."""
    cpu, wall = time.thread_time(), time.perf_counter()
    try:
        yield
    finally:
        log.outside[0] += time.thread_time() - cpu
        log.outside[1] += time.perf_counter() - wall


def _driver(log: Log) -> tuple[float, float]:
    """Returns the CPU and wall seconds of the driver, from a fixed start.

    It is called inside of `_outside`, whose own time is too short to matter.
    """
    cpu = time.thread_time() - log.outside[0]
    return cpu, time.perf_counter() - log.outside[1]


def writer(files: list[adopted.File], ids: list[str]) -> Write:
    """Returns a function that writes the files of a batch like those of another one.

    The numbers of the batch follow from the ids of its trials, so two workers write the
    same bits.

    Args:
      files: of a batch that was trained, with their content, in their order.
      ids: of its trials, which are at least as many as those of any other batch.
    """
    known = [(one.record, _arrays(one)) for one in files]
    place = {id: k for k, id in enumerate(ids)}

    def write_one(task: Task, record: Any, arrays: Any) -> adopted.File:
        own = [one.id for one in task.trials]
        rows = [place[id] for id in arrays["trial"].tolist()]
        rows = [k for k in rows if k < len(own)]
        made = {
            name: values if name.startswith(_STEPS) else values[: len(rows)]
            for name, values in arrays.items()
        }
        made["trial"] = np.asarray(own)[rows]
        by = np.asarray([1.0 + _uniform(str(one)) for one in made["trial"]])
        for name, values in made.items():
            if name.startswith(_CURVES):
                shape = (len(by),) + (1,) * (values.ndim - 1)
                made[name] = (values * by.reshape(shape)).astype(values.dtype)
        kind, end = record["kind"], record["name"].rpartition("-")[2]
        name = task.prefix if kind == "params" else f"{task.prefix}-{end}"
        about = {key: record[key] for key in record if key not in _OF_FILE}
        about |= {"round": task.round_hash} if "round" in about else {}
        return adopted.staged(Path(task.folder), kind, name, made, **about)

    return lambda task: [write_one(task, *one) for one in known]


_OF_FILE = ("kind", "name", "file", "sha256", "bytes", "digest")
_STEPS = ("trace_step", "validation_step", "measured_step")  # not of single trials
_CURVES = ("trace/", "validation/", "final/")


def _arrays(file: adopted.File) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(file.content or b"")) as content:
        return dict(content)
