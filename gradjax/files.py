"""Writes files completely or not at all, and verifies archives when it reads them.

A file is written to a temporary file in the same folder, fsynced and renamed, and then
the folder is fsynced. A process killed at any instant therefore leaves the old file or
the new one, never a part of either.
"""

import contextlib
import functools
import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gradjax.errors import Refusal


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path` atomically and durably.

    Raises:
        OSError: the disk is full or the folder is not writable; `path` is unchanged.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically; NaN and infinity become null."""
    text = json.dumps(_finite(value), indent=2, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes named arrays as an uncompressed `.npz`, atomically.

    Equal arrays give equal bytes, because no time is stored.

    Raises:
        ValueError: an array holds objects, which would have to be pickled.
    """
    write_bytes(path, npz_bytes(arrays))


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """Returns the bytes that `write_npz` writes.

    The date of every member is 1980-01-01, so equal arrays give equal bytes.

    Raises:
        ValueError: an array holds objects, which would have to be pickled.
    """
    buffer = io.BytesIO()
    # np.savez is not used because it pickles objects and reserves the names "file" and
    # "allow_pickle".
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                array = np.asanyarray(values)
                np.lib.format.write_array(member, array, (1, 0), allow_pickle=False)
    return buffer.getvalue()


def read_npz(path: Path, only: str | None = None) -> dict[str, np.ndarray]:
    """Reads an `.npz` that `write_npz` wrote, as a dictionary name -> array.

    The checksums of the archive are verified. An archive is refused if it has pickled
    objects, compressed members (a small file could unpack to a huge one), duplicate
    names, or a member whose size differs from the declared one.

    Args:
      path: the file.
      only: the name of the array that is read; None: all of them.

    Raises:
        Refusal: the file is damaged or is not such an archive; the message names it.
        FileNotFoundError: there is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename.removesuffix(".npy") for member in members]
            if len(set(names)) < len(names):
                raise Refusal(f"{path}: two members have one name")
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise Refusal(f"{path}: a compressed member; expected only stored ones")
            # A flipped bit in the length of a comment can hide the members after it.
            if archive.comment or any(member.comment for member in members):
                raise Refusal(f"{path}: damaged (a comment where none was written)")
            return {
                name: _read_member(archive, member)
                for name, member in zip(names, members, strict=True)
                if only in (None, name)
            }
    # zipfile raises RuntimeError where a flipped bit means "encrypted" or "too new".
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        if isinstance(error, Refusal | FileNotFoundError):
            raise
        raise Refusal(f"{path}: damaged ({error})") from error


def sha256(*paths: Path) -> str:
    """Returns the hex digest of the files' names and contents, in the given order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Returns the cache folder: `gradjax` in `$XDG_CACHE_HOME` or in `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(root) if os.path.isabs(root) else Path.home() / ".cache"
    return base / "gradjax"


@functools.lru_cache(maxsize=1_024)
def _header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Reads the header of an array: (shape, is_fortran, dtype).

    NumPy parses it as an expression of Python, which takes longer than all the rest of
    a small array. The files of a sweep have the same few headers.

    Raises:
        ValueError: it is incomplete, or of another version.
    """
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"array format {version}, expected (1, 0)")
    return np.lib.format.read_array_header_1_0(file)


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    content = archive.read(member)  # verifies the member's CRC
    start = 10 + int.from_bytes(content[8:10], "little")
    shape, is_fortran, dtype = _header(content[:start])
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds pickled objects")
    expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
    actual = len(content) - start
    if expected != actual:
        raise ValueError(f"{member.filename}: {actual} bytes, expected {expected}")
    values = np.frombuffer(content, dtype, offset=start)
    return values.reshape(shape, order="F" if is_fortran else "C")


def _finite(value: Any) -> Any:
    """Replaces every non-finite number by None, because JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.ndarray):
        return _finite(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def sync_folder(folder: Path) -> None:
    """Makes the names of the files in a folder durable with fsync."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def named_disk_errors(folder: Path) -> Iterator[None]:
    """Converts an `OSError` inside to a Refusal that names the folder and the cause."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refusal(f"cannot write in {folder}: {reason}") from error
