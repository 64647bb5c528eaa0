"""Reads examples from arrays on the host, which may be memory-mapped files.

A mapped file that is changed in place would give other examples than at the start, and
one that is truncated ends the process that reads behind its end. So the size and the
time of the last change are compared before each reading. A file that is replaced or
deleted stays as it was for a process that has mapped it; another process, which has to
map it again, refuses it.
"""

import mmap
import os
import platform
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from gradjax.errors import Refusal


def rows_of(arrays: Any, indices: np.ndarray) -> Any:
    """Returns the rows of the indices on the host: leaves [n, ...]."""
    return jax.tree.map(lambda leaf: leaf[indices], arrays)


def on_host(leaf: Any) -> Any:
    """Returns an array on the host; a memory-mapped file stays one."""
    return leaf if isinstance(leaf, np.memmap) else np.asarray(leaf)


class _Status(NamedTuple):
    """A file as it was when it was mapped."""

    number: tuple[int, int]  # of its device and of its inode
    size: int  # bytes
    changed: int  # the time of its last change, in ns


class _Fields(NamedTuple):
    arrays: Any  # a pytree of arrays [examples, ...]
    read: Callable[[Any, np.ndarray], Any]  # (arrays, indices u32[n]) -> [n, ...]


class Rows(_Fields):
    """Reads examples from arrays on the host: (indices u32[n]) -> leaves [n, ...].

    A memory-mapped file is sent to another process as its name, and mapped again there.
    The status of the files is no field, so it does not decide what a run is.
    """

    _files: dict[str, _Status | None]

    def __new__(
        cls, arrays: Any, read: Callable[[Any, np.ndarray], Any] = rows_of
    ) -> "Rows":
        """Makes the reader of a pytree of arrays [examples, ...]."""
        self = super().__new__(cls, arrays, read)
        leaves = jax.tree.leaves(arrays)
        found = (str(x.filename) for x in leaves if _is_mapped(x))
        self._files = {name: _status(name) for name in found}
        return self

    def __call__(self, indices: np.ndarray) -> Any:
        """Returns the examples of the indices.

        Raises:
          Refusal: a mapped file has changed; the line names it.
        """
        for name, before in self._files.items():
            now = _status(name)
            is_other = before is None or now is None or now.number != before.number
            if not is_other and now != before:
                raise Refusal(f"{name}: has changed while it is read")
        return self.read(self.arrays, indices)

    def __reduce__(self) -> Any:
        """Returns how the arrays are made again in another process."""
        leaves, form = jax.tree.flatten(self.arrays)
        places = [*map(_file_of, leaves)]
        return _mapped_again, (form, places, self.read, (platform.node(), self._files))


class _File(NamedTuple):
    """Where the values of a memory-mapped array are."""

    path: str
    dtype: Any
    offset: int
    shape: tuple[int, ...]


def _is_mapped(leaf: Any) -> bool:
    return isinstance(leaf, np.memmap) and bool(leaf.filename)


def _status(name: str) -> _Status | None:
    """Returns the status of a file, or None if it is no longer there."""
    try:
        found = os.stat(name)
    except OSError:
        return None
    return _Status((found.st_dev, found.st_ino), found.st_size, found.st_mtime_ns)


def _file_of(leaf: Any) -> Any:
    """Returns the place of a memory-mapped array in C order, which may be a slice."""
    if not (isinstance(leaf, np.memmap) and leaf.filename and leaf.flags.c_contiguous):
        return leaf
    whole = leaf
    while isinstance(whole.base, np.memmap):
        whole = whole.base
    if not isinstance(whole.base, mmap.mmap):
        return leaf
    offset = whole.offset + leaf.ctypes.data - whole.ctypes.data
    return _File(str(leaf.filename), leaf.dtype, offset, leaf.shape)


def _mapped_again(form: Any, leaves: list[Any], read: Any, known: Any) -> Rows:
    """Makes the rows again from what `_file_of` returned.

    `known` are the name of the machine and its files. On another machine a copy of a
    file may have another time; there the digests of the data are compared.
    """
    machine, files = known
    for name, before in files.items() if machine == platform.node() else ():
        now = _status(name)
        if before is not None and now is not None and now[1:] != before[1:]:
            raise Refusal(f"{name}: has changed since the run began")
    mapped = [
        np.memmap(one.path, one.dtype, "r", one.offset, one.shape)
        if isinstance(one, _File)
        else one
        for one in leaves
    ]
    return Rows(jax.tree.unflatten(form, mapped), read)
