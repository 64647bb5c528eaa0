"""What a worker of another process or machine does: it checks itself, then trains.

A worker whose code, versions, device or data differ from those of the record would
compute other bits. So it says how it differs before it computes anything.
"""

import functools
import os
import pickle
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax

from gradjax import expressions, records
from gradjax.errors import Refusal
from gradjax.records import lock, plan
from gradjax.records.adopted import File
from gradjax.sweeps import batch
from gradjax.sweeps.batch import Counts, Task
from gradjax.trials import cores, devices
from gradjax.trials.lanes import Lanes
from gradjax.types import Settings, Sweep

# Of the environment: what can change the last bits of a result.
_DECIDING = ("python", "versions", "sources", "backend", "device", "instruction_set")
# Settings of JAX that a worker takes over from the process that asks it.
_CONFIG = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_numpy_dtype_promotion",
    "jax_disable_most_optimizations",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


class Made(NamedTuple):
    """The programs of a command, as a worker has made them."""

    lanes: Callable[[Settings], Lanes]  # of the settings of a group
    data: Any  # what the plan says of the data, as this machine has them


class Work(NamedTuple):
    """What is sent to each worker once."""

    make: Callable[[], Made]
    environment: dict[str, Any]  # that the workers must have, see `own_environment`
    data: Any  # what the plan says of the data
    objects: dict[str, Any]  # that expressions name
    accepts_mixed_bits: bool
    config: dict[str, Any]  # of JAX


class Answer(NamedTuple):
    """What a worker gives back of a task; a probe has no files."""

    where: str  # host and number of the process
    refusal: str | None  # why nothing was computed
    environment: dict[str, Any] | None  # of the worker, if it differs and is accepted
    files: list[File]
    counts: Counts


def work_of(
    make: Callable[[], Made],
    plan: dict[str, Any],
    objects: dict[str, Any],
    asked: Sweep,
) -> Work:
    """Returns what is sent to each worker.

    Args:
      make: makes the programs on the worker.
      plan: of the record.
      objects: that expressions name.
      asked: whether workers may differ.
    """
    threads = plan.get("num_threads")
    known = cast(Any, jax.config)
    config = {name: getattr(known, name) for name in _CONFIG if hasattr(known, name)}
    wanted = plan.get("environment") or records.environment()
    wanted = wanted | ({} if threads is None else {"num_threads": threads})
    is_mixed = asked.accept_mixed_bits
    return Work(make, wanted, plan.get("data"), objects, is_mixed, config)


def dump(work: Work) -> bytes:
    """Returns work as bytes, with functions of scripts and notebooks by their content.

    Raises:
        Refusal: it holds something that cannot be sent, such as an open file.
    """
    import cloudpickle

    return _dumped(work, cloudpickle.dumps)


def dump_task(task: Task | None) -> bytes:
    """Returns a task as bytes; None asks a worker only whether it is as it should be.

    A task holds names and numbers alone, for which `pickle` takes a third of the time.

    Raises:
        Refusal: see `dump`.
    """
    return _dumped(task, pickle.dumps)


def _dumped(value: Any, dumps: Callable[[Any], bytes]) -> bytes:
    try:
        return dumps(value)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise Refusal(
            f"cannot be sent to other processes ({type(error).__name__}: {reason}):"
            " train with --executor=inline"
        ) from error


def load(answer: bytes) -> Answer:
    """Returns the answer that `run` gave as bytes."""
    return pickle.loads(answer)


def run(work: bytes, task: bytes) -> bytes:
    """Trains the trials of a task on a worker.

    Args:
      work: from `dump`; what it makes is made once in a process.
      task: from `dump_task`.

    Returns:
      An Answer as bytes, which `load` reads.
    """
    where = f"process {os.getpid()} on {socket.gethostname()}"
    try:
        made, differing = _made(work)
        asked: Task | None = pickle.loads(task)
        if asked is None:
            return pickle.dumps(Answer(where, None, differing, [], Counts()))
        of: Work = _work(work)
        with expressions.given(of.objects):
            lanes = made.lanes(asked.trials[0].settings)
            folder = _shared_folder(asked)
            files, counts = batch.train(lanes, asked, folder)
        return pickle.dumps(Answer(where, None, differing, files, counts))
    except Refusal as refusal:
        return pickle.dumps(Answer(where, str(refusal), None, [], Counts()))


@functools.lru_cache(maxsize=1)
def _work(work: bytes) -> Work:
    try:
        return pickle.loads(work)
    except ImportError as error:
        raise Refusal(f"it cannot import what is trained: {error}") from error


@functools.lru_cache(maxsize=1)
def _made(work: bytes) -> tuple[Made, dict[str, Any] | None]:
    """Makes the programs, after the worker has been compared with the record.

    Returns:
      The programs, and the environment of this worker if it differs and is accepted.

    Raises:
        Refusal: the worker differs; the line names how.
    """
    of = _work(work)
    for name, value in of.config.items():
        jax.config.update(name, value)
    threads = of.environment.get("num_threads")
    if threads is not None and cores.is_cpu():
        devices.use(threads)
    with expressions.given(of.objects):
        found = own_environment(of.environment["sources"])
        check(of.environment, found, of.accepts_mixed_bits)
        made = of.make()
    wrong = plan.differences({"data": of.data}, {"data": made.data})
    if wrong:
        raise Refusal(f"it has other data than this machine ({', '.join(wrong)})")
    return made, found if differences(of.environment, found) else None


def own_environment(files: Iterable[str]) -> dict[str, Any]:
    """Returns what decides the bits that this process computes.

    Args:
      files: the names of source files, as `sources.digests` returns them.
    """
    paths = [Path(name).with_suffix("") for name in files if name.endswith(".py")]
    modules = [".".join(one.parts).removesuffix(".__init__") for one in paths]
    found = records.environment(modules)
    count = devices.num_threads()
    return found | ({} if count is None else {"num_threads": count})


def check(wanted: dict[str, Any], found: dict[str, Any], is_accepted: bool) -> None:
    """Refuses a worker whose environment decides other bits than that of the record.

    Args:
      wanted: the environment of the record, with its number of threads.
      found: the environment of the worker.
      is_accepted: whether a difference is accepted.

    Raises:
        Refusal: they differ; the line lists the differences.
    """
    wrong = differences(wanted, found)
    if wrong and not is_accepted:
        raise Refusal(
            f"it differs from this machine ({'; '.join(wrong)}): make it alike, or let"
            " --accept_mixed_bits mark its rows"
        )


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Returns a phrase for each difference that can change the bits of a result."""
    said = []
    for name in (*_DECIDING, "num_threads"):
        there, here = found.get(name), wanted.get(name)
        if name not in wanted or there == here:
            continue
        if not isinstance(here, dict):
            said.append(f"{name} {there} there, {here} here")
            continue
        own = there or {}
        said += [
            f"{name[:-1]} of {part} {own.get(part)} there, {here[part]} here"
            for part in here
            if own.get(part) != here[part] and (part in own or part == "gradjax")
        ]
    return said


def _shared_folder(task: Task) -> Path | None:
    """Returns the folder of the record if this machine sees the same one."""
    folder = Path(task.folder)
    is_same = task.writer is not None and lock.owner(folder) == task.writer
    return folder if is_same else None
