"""Stores decoded arrays on disk, so that later loads only read one file."""

import warnings
from collections.abc import Callable

import numpy as np

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


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)


def _freeze(arrays: Arrays) -> Arrays:
    for values in arrays.values():
        values.flags.writeable = False
    return arrays
