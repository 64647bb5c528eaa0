"""Keeps compiled programs in the user's cache folder, so that the next start is faster.

JAX writes and reads the entries. It compresses them with zlib, whose checksum finds
damage. From Python 3.14 on, or if the package zstandard is installed, it uses zstd,
whose frames have no checksum: of 3,000 entries with a flipped bit, zlib accepted none
and zstd 2,387. So an entry of zstd gets a seal: its sha256 in a file beside it.
"""

import contextlib
import hashlib
import importlib.util
import os
import sys
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from gradjax.files import cache_folder

_ZLIB, _ZSTD = b"\x78", b"\x28\xb5\x2f\xfd"  # the first bytes of an entry
_ENTRIES, _SEAL = "*-cache", ".sha256"
_READING = "Error reading persistent compilation cache entry for "
_WRITING = "Error writing persistent compilation cache entry for "
_COMPILED = "backend_compile_duration"  # JAX's name of this event ends so

Say = Callable[[str], None]


def keep(say: Say) -> None:
    """Keeps compiled programs; removes damaged ones, which are then compiled again.

    Args:
      say: is called with a line about damaged entries, or why nothing is kept.
    """
    folder = cache_folder() / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        say(f"compiled programs are not kept: {folder}: {error.strerror}")
        return
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if chosen is None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        _trust_only_sealed(folder, say)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    _hear_warnings(folder if chosen is None else Path(chosen), say)


def remove_damaged(folder: Path) -> int:
    """Removes the damaged entries and returns their number.

    JAX never overwrites an entry, so it would read a damaged one at every start.
    """
    count = 0
    for entry in sorted(folder.glob(_ENTRIES)):
        with contextlib.suppress(OSError):  # another process may remove it, too
            if _is_damaged(entry):
                entry.unlink()
                _seal(entry).unlink(missing_ok=True)
                count += 1
    return count


def seal(folder: Path) -> None:
    """Writes the sha256 of each entry that needs a seal and has none."""
    for entry in folder.glob(_ENTRIES):
        with contextlib.suppress(OSError):  # an entry without a seal is not trusted
            if not _seal(entry).exists() and _begins_with(entry, _ZSTD):
                _seal(entry).write_text(_digest(entry.read_bytes()))


def _trust_only_sealed(folder: Path, say: Say) -> None:
    """Verifies every seal now, and seals each program that is compiled later."""
    if sys.version_info < (3, 14) and importlib.util.find_spec("zstandard") is None:
        return
    for entry in folder.glob(_ENTRIES):
        with contextlib.suppress(OSError):
            # Its writer was killed or is still writing, so it may be incomplete.
            if not _seal(entry).exists() and _begins_with(entry, _ZSTD):
                entry.unlink()
    if count := remove_damaged(folder):
        say(_damage_message(count, folder))

    def on_event(event: str, duration_secs: float, **_: Any) -> None:
        if duration_secs >= 0 and event.endswith(_COMPILED):
            seal(folder)

    jax.monitoring.register_event_duration_secs_listener(on_event)


def _hear_warnings(folder: Path, say: Say) -> None:
    """Prints JAX's warnings about its cache as one line, and repairs the cache."""
    usual, one_at_a_time = warnings.showwarning, threading.Lock()
    said: set[str] = set()

    def show(message: Warning | str, *args: Any, **kwargs: Any) -> None:
        text = str(message)
        if text.startswith((_READING, _WRITING)):
            with one_at_a_time:  # several threads may compile
                _answer(text, folder, say, said)
        else:
            usual(message, *args, **kwargs)

    warnings.filterwarnings("always", message="Error (reading|writing) persistent ")
    warnings.showwarning = show


def _answer(text: str, folder: Path, say: Say, said: set[str]) -> None:
    """Repairs the cache after a warning, and prints this once."""
    count, is_reading = remove_damaged(folder), text.startswith(_READING)
    reason = " ".join(text.partition("': ")[2].split())[:200]
    line = f"a compiled program is not kept in {folder}: {reason}"
    if is_reading and count:
        line = _damage_message(count, folder)
    elif is_reading:
        line = f"a compiled program in {folder} is of no use, made anew: {reason}"
    # The first warning removes all damaged entries, also those of other threads.
    if line not in said and (count or not is_reading or not said):
        said.add(line)
        say(line)


def _damage_message(count: int, folder: Path) -> str:
    what = "program is" if count == 1 else "programs are"
    return f"{count} compiled {what} damaged in {folder}: compiled again"


def _is_damaged(entry: Path) -> bool:
    """Returns whether an entry is certainly damaged."""
    content = entry.read_bytes()
    if content.startswith(_ZLIB):
        try:
            zlib.decompress(content)
        except zlib.error:
            return True
        return False
    if _seal(entry).exists():
        return _seal(entry).read_text() != _digest(content)
    return not content.startswith(_ZSTD)


def _seal(entry: Path) -> Path:
    return entry.with_name(entry.name + _SEAL)


def _begins_with(entry: Path, start: bytes) -> bool:
    with entry.open("rb") as file:
        return file.read(len(start)) == start


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
