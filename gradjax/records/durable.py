"""Bytes that are on the disk when a call returns, with fault points between."""

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gradjax.errors import Refusal
from gradjax.files import sync_folder
from gradjax.records import faults

PARTIAL = ".partial"


def write_file(path: Path, content: bytes, stage: str) -> None:
    """Writes a file whole or not at all: temporary, fsync, rename, fsync of the folder.

    The temporary file's name is fixed, since there is one writer: what a kill leaves
    is overwritten, or removed at the next opening.

    Args:
      path: of the file.
      content: all of it.
      stage: the first half of the fault points' names.
    """
    faults.reached(f"{stage}:before")
    temporary = path.with_name(f".{path.name}{PARTIAL}")
    temporary.unlink(missing_ok=True)
    try:
        with open(temporary, "xb", buffering=0) as file:
            half = len(content) // 2
            write_all(file, content[:half])
            faults.reached(f"{stage}:mid_write")
            write_all(file, content[half:])
            faults.reached(f"{stage}:before_fsync")
            os.fsync(file.fileno())
        faults.reached(f"{stage}:before_rename")
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    faults.reached(f"{stage}:after_rename")
    sync_folder(path.parent)


def write_all(file: io.FileIO, content: bytes) -> None:
    """Writes every byte: an unbuffered write may stop short, and at a full disk does.

    Unbuffered, so that nothing is left behind to be written when the file is closed.
    """
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def open_to_append(path: Path) -> io.FileIO:
    """Opens a file of ours, made if it is not there, to read and to append.

    Raises:
        Refusal: it is a link, a pipe, or has another name outside (a hard link):
            writing here would write there.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)

    is_new = not path.exists()
    file = open(path, "a+b", buffering=0, opener=opener)  # noqa: SIM115
    state = os.fstat(file.fileno())
    if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
        file.close()
        raise Refusal(
            f"{path}: not a file of its own (a hard link, or a device); copy it over"
            " itself, or name another folder"
        )
    if is_new:
        sync_folder(path.parent)
    return file


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns an `OSError` inside into a Refusal that names the file and the cause."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refusal(
            f"cannot write {path}: {reason}; what is committed stays, and the same"
            " command goes on from there"
        ) from error
