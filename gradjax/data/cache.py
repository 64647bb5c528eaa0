"""Stores decoded arrays on disk, so that later loads only read one file."""

import atexit
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from gradjax.data import mapped
from gradjax.errors import Refusal
from gradjax.files import cache_folder, read_npz, write_npz

Arrays = dict[str, np.ndarray]


def read_or_make(key: str, make: Callable[[], Arrays]) -> Arrays:
    """Returns the arrays stored under `key`; if there are none, stores those of `make`.

    A problem of the cache never stops a run: a damaged file is made again, and a folder
    that is not writable or a full disk gives one warning.

    Args:
      key: a file name without its suffix. It must identify the content, for example by
        a fingerprint or a version, because a stored file is never outdated.
      make: makes the arrays if they are not stored. Its exceptions are passed on, and
        then nothing is stored.

    Returns:
      The named arrays, read-only because all callers share them.
    """
    try:
        folder = cache_folder() / "data"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home folder is known
        _warn(f"decoded data is not cached: {error}")
        return _freeze(make())
    path = folder / f"{key}.npz"
    try:
        return read_npz(path)
    except FileNotFoundError:
        pass
    except Refusal as error:
        _warn(f"rebuilding a data cache: {error}")
    arrays = make()
    try:
        write_npz(path, arrays)
    except OSError as error:
        _warn(f"decoded data is not cached in {folder}: {error.strerror or error}")
    return _freeze(arrays)


def is_stored(key: str) -> bool:
    """Returns whether there is a file of `key`, which may be damaged."""
    try:
        return (cache_folder() / "data" / f"{key}.npz").is_file()
    except (OSError, RuntimeError):  # RuntimeError: no home folder is known
        return False


def map_or_make(key: str, make: Callable[[], Iterable[mapped.Member]]) -> Arrays:
    """Maps the arrays stored under `key`; if there are none, stores those of `make`.

    No array is ever in memory as a whole. Where the cache cannot be written, a file
    of the system's folder for temporary files takes its place for this process.

    Args:
      key: as in `read_or_make`.
      make: makes the arrays, part by part. Its exceptions are passed on, and then
        nothing is stored.

    Returns:
      The named arrays, read-only, as memory-mapped files.
    """
    try:
        folder = cache_folder() / "data"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home folder is known
        _warn(f"decoded data is not cached: {error}")
        return _made_for_now(make)
    path = folder / f"{key}.npz"
    try:
        return mapped.open_verified(path)
    except FileNotFoundError:
        pass
    except Refusal as error:
        _warn(f"rebuilding a data cache: {error}")
    try:
        mapped.write(path, make())
    except OSError as error:
        _warn(f"decoded data is not cached in {folder}: {error.strerror or error}")
        return _made_for_now(make)
    return mapped.open_verified(path)


def _made_for_now(make: Callable[[], Iterable[mapped.Member]]) -> Arrays:
    """Writes arrays to a temporary file, which this process removes when it ends.

    Until then other processes may open it by its name.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="gradjax-")
        atexit.register(folder.cleanup)
        path = Path(folder.name) / "arrays.npz"
        mapped.write(path, make())
        return mapped.open_verified(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refusal(
            f"decoded data fits neither into the cache nor into"
            f" {tempfile.gettempdir()} ({reason}): make room, or set XDG_CACHE_HOME to"
            " a larger disk"
        ) from error


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)


def _freeze(arrays: Arrays) -> Arrays:
    for values in arrays.values():
        values.flags.writeable = False
    return arrays
