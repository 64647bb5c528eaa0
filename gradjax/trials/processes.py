"""Several processes that compute one run together, by `jax.distributed`.

Every process runs the same command, and reads and computes the same. Between two
segments each has the complete state on its host, so the first process alone writes the
record. What one process has found or refused is told to all of them, because a process
that goes on alone would wait for the others.
"""

import socket
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from gradjax.errors import Refusal

_MAX_BYTES = 1_000  # of a line that a process tells the others
_MEET_S, _POLL_S = 300.0, 0.5  # that the processes wait for process 0
_SHUTDOWN_S = 20  # that a process which has failed waits for the others
AUTO = "auto"


def start(
    coordinator: str | None, num_processes: int | None, process_id: int | None
) -> None:
    """Joins this process with the others of its run, before anything is computed.

    Nothing is done without a coordinator.

    Args:
      coordinator: HOST:PORT at which process 0 listens, on that address only; or
        "auto", if the cluster says all of this, as Slurm does and the pods of TPUs.
      num_processes: of the run.
      process_id: the number of this process, from 0.

    Raises:
        Refusal: one is given without the others, or they make no sense; the port is in
            use, or the address is not one of this machine; JAX has already begun to
            compute; or process 0 does not answer within five minutes.
    """
    if coordinator is None:
        for name, value in (
            ("num_processes", num_processes),
            ("process_id", process_id),
        ):
            if value is not None:
                raise Refusal(f"--{name}={value}: goes with --coordinator=HOST:PORT")
        return
    if coordinator == AUTO:
        _initialize("--coordinator=auto")
        return
    said = f"--coordinator={coordinator}"
    host, port = _address(said, coordinator)
    if num_processes is None or process_id is None:
        raise Refusal(f"{said}: give --num_processes=N and --process_id=K, too")
    if not 1 <= num_processes < 2**20 or not 0 <= process_id < num_processes:
        raise Refusal(
            f"--process_id={process_id} of --num_processes={num_processes}: expected a"
            " number from 0 to one less than that of the processes"
        )
    if process_id == 0:
        _check_free(said, host, port)
    else:
        _wait_for(said, host, port)
    _initialize(
        said,
        coordinator_address=coordinator,
        num_processes=num_processes,
        process_id=process_id,
        coordinator_bind_address=coordinator,
    )


def _address(said: str, coordinator: str) -> tuple[str, int]:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) < 2**16:
        raise Refusal(f"{said}: expected HOST:PORT, as in 10.0.0.1:8476, or auto")
    return host.strip("[]"), int(port)


def _check_free(said: str, host: str, port: int) -> None:
    """Refuses an address on which this process cannot listen."""
    try:
        family, kind, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        raise Refusal(
            f"{said}: process 0 cannot listen there: {error.strerror or error}"
        ) from None


def _wait_for(said: str, host: str, port: int) -> None:
    """Waits until process 0 listens; JAX itself would end this process with an abort.

    Raises:
        Refusal: it does not listen within `_MEET_S` seconds.
    """
    deadline, reason = time.monotonic() + _MEET_S, ""
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, port), timeout=_POLL_S).close()
            return
        except OSError as error:
            reason = error.strerror or str(error)
            time.sleep(_POLL_S)
    raise Refusal(f"{said}: process 0 did not answer in {_MEET_S:.0f} s: {reason}")


def _initialize(said: str, **given: Any) -> None:
    try:
        jax.distributed.initialize(**given, shutdown_timeout_seconds=_SHUTDOWN_S)
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise Refusal(f"{said}: the processes do not meet: {reason[:200]}") from error


def is_first() -> bool:
    """Returns whether this is the process that writes and prints."""
    return not are_several() or jax.process_index() == 0


def are_several() -> bool:
    """Returns whether several processes compute the run."""
    # Asked in this order, a command alone does not start the backend here.
    return jax.distributed.is_initialized() and jax.process_count() > 1


def together(function: Callable[[], Any]) -> Any:
    """Calls a function in every process, and waits until all have returned.

    Raises:
        Refusal: the function of one process has; all of them raise it.
    """
    if not are_several():
        return function()
    found, line = None, ""
    try:
        found = function()
    except Refusal as refusal:
        line = " ".join(str(refusal).split())
    lines = _gathered(line)
    for number, said in enumerate(lines):
        if said:
            is_common = len(set(lines)) == 1
            raise Refusal(said if is_common else f"process {number}: {said}")
    return found


def largest(number: int) -> int:
    """Returns the largest of the numbers of all processes; each has to call this."""
    if not are_several():
        return number
    return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def wait() -> None:
    """Waits until every process is here."""
    largest(0)


def _gathered(line: str) -> list[str]:
    """Returns the lines of all processes, which are cut to their first bytes."""
    sent = np.zeros(_MAX_BYTES, np.uint8)
    content = line.encode()[:_MAX_BYTES]
    sent[: len(content)] = np.frombuffer(content, np.uint8)
    found = np.asarray(multihost_utils.process_allgather(sent))
    rows = found.reshape(jax.process_count(), _MAX_BYTES)
    return [row.tobytes().rstrip(b"\0").decode(errors="replace") for row in rows]
