"""Decoded arrays kept on disk, so that the second load costs one read."""

import warnings
from collections.abc import Callable

import numpy as np

from gradjax.errors import Refusal
from gradjax.files import cache_folder, read_npz, write_npz

Arrays = dict[str, np.ndarray]


def cached(key: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays kept under `key`, or `make()`, kept from now on.

    The cache is a convenience and never stops a run: a damaged file is made again, and
    a folder that cannot be written or a full disk costs one warning.

    Args:
      key: a file name without its suffix; it must name the content, so a key made from
        a fingerprint or a version is never stale.
      make: called on a miss; what it raises passes through, and nothing is kept.

    Returns:
      The named arrays, read-only: every caller shares one content.
    """
    try:
        folder = cache_folder() / "data"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        _warn(f"decoded data is not cached: {error}")
        return _frozen(make())
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
    return _frozen(arrays)


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)


def _frozen(arrays: Arrays) -> Arrays:
    for values in arrays.values():
        values.flags.writeable = False
    return arrays
