"""A lock, so that a folder has only one writer.

The writer holds `flock` on `.lock`, which the system releases when the process ends in
any way. On a file system without `flock` the writer creates a file `.lease`, which only
one process can create. This file remains after a kill, and another process takes it
over when it sees that the process has ended.
"""

import contextlib
import errno
import fcntl
import io
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from gradjax.errors import Refusal
from gradjax.records.durable import open_to_append, write_all

LOCK, LEASE = ".lock", ".lease"
_HELD = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES}
_UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}


class Lock(NamedTuple):
    """The right to write, until `release`."""

    file: io.FileIO
    lease: Path | None  # None if the file system has flock


def acquire(folder: Path) -> Lock:
    """Takes the lock of a folder without waiting.

    Raises:
        Refusal: another process holds it; the line names its pid, its host and since
            when.
        OSError: the folder cannot be written.
    """
    file = open_to_append(folder / LOCK)
    try:
        taken = _flock(file)
        if taken is False:
            raise Refusal(_in_use(folder, _signature(folder / LOCK)))
        if taken:
            if (folder / LEASE).exists():  # of a process for which flock did not work
                _clear(folder / LEASE)
            _sign(file)
            return Lock(file, None)
    except BaseException:
        file.close()
        raise
    file.close()
    return _lease(folder)


def release(lock: Lock) -> None:
    """Releases the lock; a second call does nothing.

    The empty file `.lock` remains. If it were removed, one process could hold a lock on
    the old file and another process on a new one.
    """
    if lock.file.closed:
        return
    with contextlib.suppress(OSError):  # the lock is released even without the disk
        if lock.lease is None:
            lock.file.truncate(0)
        else:
            lock.lease.unlink(missing_ok=True)
    lock.file.close()


def owner(folder: Path) -> dict[str, Any] | None:
    """Returns pid, host and start of the writer, or None; takes no lock.

    Whether a process on another host is alive cannot be seen, so it is returned.
    """
    for name in (LOCK, LEASE):
        signature = _signature(folder / name)
        if signature is not None and not _is_dead(signature):
            return signature
    return None


def _flock(file: io.FileIO) -> bool | None:
    """Returns True: taken; False: another process has it; None: there is no flock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        if error.errno in _UNSUPPORTED:
            return None
        raise
    return True


def _lease(folder: Path) -> Lock:
    path = folder / LEASE
    for _ in range(2):
        try:
            file = open(path, "xb", buffering=0)  # noqa: SIM115
        except FileExistsError:
            _clear(path)
            continue
        try:
            _sign(file)
        except BaseException:  # a lease without a signature could never be cleared
            file.close()
            path.unlink()
            raise
        return Lock(file, path)
    raise Refusal(_in_use(folder, _signature(path)))


def _clear(path: Path) -> None:
    """Removes the lease of a dead process; refuses if the process may be alive."""
    found = _signature(path)
    if found is None or not _is_dead(found):
        raise Refusal(
            f"{_in_use(path.parent, found)}; if it is gone for certain, remove {path}"
        )
    # The lease is renamed first. If two processes do this at the same time, one gets
    # the dead lease. The other gets nothing, or the new lease of the first process,
    # which it then puts back.
    taken = path.with_name(f"{LEASE}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, taken)
        if _signature(taken) != found:
            os.link(taken, path)
        taken.unlink()


def _sign(file: io.FileIO) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")  # only for a person to read
    line = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    if file.seek(0, os.SEEK_END):
        file.truncate(0)
    write_all(file, json.dumps(line).encode() + b"\n")
    os.fsync(file.fileno())


def _signature(path: Path) -> dict[str, Any] | None:
    """Returns who signed a lock; None if it is not signed or cannot be read."""
    try:
        line = json.loads(path.read_bytes()[:1_000])
        pid, host, since = line["pid"], line["host"], line["since"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    is_ours = isinstance(pid, int) and pid > 0 and f"{host}{since}".isprintable()
    return {"pid": pid, "host": host, "since": since} if is_ours else None


def _is_dead(signature: dict[str, Any]) -> bool:
    """Returns whether the process was on this host and has ended."""
    if signature["host"] != socket.gethostname():
        return False
    try:
        os.kill(signature["pid"], 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # of another user
        return False
    return False


def _in_use(folder: Path, signature: dict[str, Any] | None) -> str:
    if signature is None:
        return f"{folder} is in use by a process that has not signed its lock"
    return (
        f"{folder} is in use by process {signature['pid']} on {signature['host']}"
        f" since {signature['since']}; let it finish or stop it"
    )
