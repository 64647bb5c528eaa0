"""Arrays that are written to a file in parts and mapped into memory afterwards.

The file is an uncompressed `.npz`. Neither writing nor reading it takes memory for a
whole array: the pages of a mapped file belong to the system, which may drop them.
"""

import contextlib
import math
import os
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.errors import Refusal
from gradjax.files import sync_folder

_READ = 2**20  # bytes at once, to verify a checksum
_LOCAL_HEADER = struct.Struct("<26xHH")  # of a member: lengths of its name and extra


class Member(NamedTuple):
    """An array that is written in parts."""

    name: str
    shape: tuple[int | None, ...]  # None on the first axis: the sum of the parts
    dtype: Any
    parts: Callable[[], Iterable[np.ndarray]]  # of the first axis, in order


def whole(name: str, values: np.ndarray) -> Member:
    """Returns an array in memory as a member with one part."""
    return Member(name, values.shape, values.dtype, lambda: [values])


def write(path: Path, members: Iterable[Member]) -> None:
    """Writes arrays to an uncompressed `.npz`, atomically and durably.

    Args:
      path: the file.
      members: the arrays, which are asked for their parts in this order.

    Raises:
      OSError: the disk is full or the folder is not writable; `path` is unchanged.
      ValueError: the parts of an array are not those of its shape.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                for member in members:
                    # The date of a member is fixed, so equal arrays give equal bytes.
                    info = zipfile.ZipInfo(f"{member.name}.npy")
                    with (
                        _sized(member, path.parent) as known,
                        archive.open(info, "w", force_zip64=True) as target,
                    ):
                        _write_array(target, known)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def open_verified(path: Path) -> dict[str, np.ndarray]:
    """Maps the arrays of an uncompressed `.npz` after its checksums were verified.

    Returns:
      Name -> the array, read-only.

    Raises:
      Refusal: the file is damaged; the message names it.
      FileNotFoundError: there is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            return {
                info.filename.removesuffix(".npy"): _mapped(archive, file, info, path)
                for info in archive.infolist()
            }
    # zipfile raises RuntimeError where a flipped bit means "encrypted" or "too new".
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        if isinstance(error, Refusal | FileNotFoundError):
            raise
        raise Refusal(f"{path}: damaged ({error})") from error


@contextlib.contextmanager
def _sized(member: Member, folder: Path) -> Iterator[Member]:
    """Yields the member with its number of rows.

    The header of an array states this number and stands before the values. If it is not
    known, the parts are first written to a temporary file in the folder.
    """
    if member.shape[0] is not None:
        yield member
        return
    with tempfile.TemporaryFile(dir=folder) as file:
        num_rows = 0
        for part in member.parts():
            _check_part(member, part)
            file.write(np.ascontiguousarray(part).data)
            num_rows += len(part)
        file.flush()
        own = tuple(size or 0 for size in member.shape[1:])  # only the first is None
        shape, size = (num_rows, *own), math.prod(own)
        rows = max(1, _READ // max(1, size * np.dtype(member.dtype).itemsize))

        def parts() -> Iterator[np.ndarray]:
            if not size:  # a file without bytes, whatever the number of rows is
                yield np.empty(shape, member.dtype)
                return
            file.seek(0)
            while len(found := np.fromfile(file, member.dtype, rows * size)):
                yield found.reshape(-1, *own)

        yield member._replace(shape=shape, parts=parts)


def _check_part(member: Member, part: np.ndarray) -> None:
    if part.shape[1:] != member.shape[1:] or part.dtype != member.dtype:
        raise ValueError(f"{member.name}: {part.dtype}{part.shape} in {member}")


def _write_array(target: Any, member: Member) -> None:
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(member.dtype)),
        "fortran_order": False,
        "shape": member.shape,
    }
    np.lib.format.write_array_header_1_0(target, header)
    rows = 0
    for part in member.parts():
        _check_part(member, part)
        target.write(np.ascontiguousarray(part).data)
        rows += len(part)
    if rows != member.shape[0]:
        raise ValueError(f"{member.name}: {rows} rows; expected {member.shape[0]}")


def _mapped(
    archive: zipfile.ZipFile, file: Any, info: zipfile.ZipInfo, path: Path
) -> np.ndarray:
    """Maps one member; the zip's own check of its CRC is at the end of a read."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{info.filename} is compressed")
    with archive.open(info) as member:
        while member.read(_READ):
            pass
    file.seek(info.header_offset)
    lengths = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    start = info.header_offset + _LOCAL_HEADER.size + sum(lengths)
    file.seek(start)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{info.filename} has another format")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    offset, count = file.tell(), int(np.prod(shape, dtype=object))
    expected = offset - start + count * dtype.itemsize
    if dtype.hasobject or is_fortran or expected != info.file_size:
        raise ValueError(f"{info.filename} has {info.file_size} bytes, not {expected}")
    if not count:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", offset, shape)
