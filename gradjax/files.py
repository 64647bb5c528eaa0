"""Files that are whole or absent, and archives that are read with suspicion.

Written to a temporary file in the same folder, fsynced, renamed, the folder fsynced:
a kill at any instant leaves the old file or the new one, never a part of either.
"""

import contextlib
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
        OSError: the disk is full or the folder cannot be written; `path` is as before.
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
    """Writes named arrays as an uncompressed `.npz`, atomically; the same every time.

    Raises:
        ValueError: an array of objects, which would have to be pickled.
    """
    write_bytes(path, npz_bytes(arrays))


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """What `write_npz` writes; its members are dated 1980, whatever the clock."""
    buffer = io.BytesIO()
    # np.savez pickles objects, and takes "file" and "allow_pickle" as its own names.
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                array = np.asanyarray(values)
                np.lib.format.write_array(member, array, (1, 0), allow_pickle=False)
    return buffer.getvalue()


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Reads an `.npz` that `write_npz` wrote.

    The archive's checksums are verified. Pickled objects, compressed members (a small
    file that unpacks to a huge one), duplicate names and members whose declared size is
    not the file's are refused.

    Raises:
        Refusal: the file is damaged or is not such an archive; the line names it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename.removesuffix(".npy") for member in members]
            if len(set(names)) < len(names):
                raise Refusal(f"{path}: two members have one name")
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise Refusal(f"{path}: a compressed member; expected only stored ones")
            # A flipped bit in a comment's length swallows the members that follow.
            if archive.comment or any(member.comment for member in members):
                raise Refusal(f"{path}: damaged (a comment where none was written)")
            values = [_read_member(archive, member) for member in members]
            return dict(zip(names, values, strict=True))
    # RuntimeError: zipfile of a flag flipped to "encrypted" or of a newer version
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        if isinstance(error, Refusal | FileNotFoundError):
            raise
        raise Refusal(f"{path}: damaged ({error})") from error


def sha256(*paths: Path) -> str:
    """The hex digest of the files' names and contents, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()


def cache_folder() -> Path:
    """The user's cache folder for gradjax: `$XDG_CACHE_HOME` or `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(root) if os.path.isabs(root) else Path.home() / ".cache"
    return base / "gradjax"


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    content = archive.read(member)  # verifies the member's CRC
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"array format {version}, expected (1, 0)")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds pickled objects")
    expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
    actual = len(content) - file.tell()
    if expected != actual:
        raise ValueError(f"{member.filename}: {actual} bytes, expected {expected}")
    values = np.frombuffer(content, dtype, offset=file.tell())
    return values.reshape(shape, order="F" if is_fortran else "C")


def _finite(value: Any) -> Any:
    """The value with every non-finite number replaced by None: JSON has no NaN."""
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
    """Makes the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def named_disk_errors(folder: Path) -> Iterator[None]:
    """Turns an `OSError` inside into a Refusal that names the folder and the cause."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refusal(f"cannot write in {folder}: {reason}") from error
