"""Writes bytes so that they are on the disk when a call returns.

Named fault points between the operations let tests end the process there.
"""

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
    """Writes a file completely or not at all.

    It writes a temporary file, calls fsync, renames it and calls fsync for the folder.
    The name of the temporary file is fixed, because there is only one writer. A
    temporary file that a killed process left is overwritten, or removed when the folder
    is opened next.

    Args:
      path: the path of the file.
      content: the complete content.
      stage: the first half of the names of the fault points.
    """
    faults.reach(f"{stage}:before")
    temporary = path.with_name(f".{path.name}{PARTIAL}")
    temporary.unlink(missing_ok=True)
    try:
        with open(temporary, "xb", buffering=0) as file:
            half = len(content) // 2
            write_all(file, content[:half])
            faults.reach(f"{stage}:mid_write")
            write_all(file, content[half:])
            faults.reach(f"{stage}:before_fsync")
            os.fsync(file.fileno())
        faults.reach(f"{stage}:before_rename")
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    faults.reach(f"{stage}:after_rename")
    sync_folder(path.parent)


def write_all(file: io.FileIO, content: bytes) -> None:
    """Writes every byte to an unbuffered file.

    A single unbuffered write may write only a part, as on a full disk. The file is
    unbuffered so that no bytes remain to be written when it is closed.
    """
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def open_to_append(path: Path) -> io.FileIO:
    """Opens a file of the store to read and to append; creates it if necessary.

    Raises:
        Refusal: the file is a link, a pipe, or a hard link with a second name, so that
            writing would change a file outside the folder.
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
    """Turns an `OSError` in its body into a Refusal with the file and the cause."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refusal(
            f"cannot write {path}: {reason}; what is committed stays, and the same"
            " command goes on from there"
        ) from error
