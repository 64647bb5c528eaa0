"""The memory that one call of the lanes takes, and how many calls fit into memory."""

import ctypes
import sys
from pathlib import Path
from typing import Any

import jax

from gradjax.errors import Refusal

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def needed_bytes(executable: Any) -> int:
    """Returns the bytes that one call takes: arguments, results and temporaries.

    The number is that of the compiler; it is 0 if the compiler gives none, or if the
    executable is a function that was not compiled.
    """
    if not isinstance(executable, jax.stages.Compiled):
        return 0
    stats: Any = executable.memory_analysis()
    if stats is None:
        return 0
    return (
        stats.argument_size_in_bytes
        + stats.output_size_in_bytes
        + stats.temp_size_in_bytes
        - stats.alias_size_in_bytes  # donated: argument and result at once
    )


def release_freed() -> None:
    """Gives the memory that was freed back to the system, where glibc keeps it.

    Compiling allocates and frees 50 to 75 MB in small parts, which would stay with the
    process.
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # another library has none
    if trim is not None:
        trim(0)


def available_bytes(device: Any) -> int | None:
    """Returns the free bytes of a device, for a CPU of the host; None: unknown."""
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        limit, used = stats.get("bytes_limit"), stats.get("bytes_in_use", 0)
        return None if limit is None else limit - used
    known = [left for left in (_left_in_cgroup(), _left_on_host()) if left is not None]
    return min(known, default=None)


def in_flight(batch_bytes: int, devices: tuple[Any, ...]) -> int:
    """Returns how many calls can run at once; on a CPU all calls share the memory.

    Raises:
        Refusal: not one call fits; the line says how much memory it needs.
    """
    available = available_bytes(devices[0])
    if available is None or batch_bytes == 0:
        return len(devices)
    fitting = available // batch_bytes
    if fitting == 0:
        raise too_large(batch_bytes, available)
    is_shared = devices[0].platform == "cpu"
    return min(len(devices), fitting) if is_shared else len(devices)


def too_large(batch_bytes: int, available: int | None = None) -> Refusal:
    """Returns the refusal of a call that does not fit into memory."""
    there = "" if available is None else f", and {available:,} are free"
    return Refusal(
        f"one batch of trials needs {batch_bytes:,} bytes of memory{there}: ask for a"
        " smaller --batch_size, a smaller model, or fewer lanes with --lane_width"
    )


def _left_on_host() -> int | None:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:  # the system is not Linux
        return None
    named = dict(line.split(":", 1) for line in lines if ":" in line)
    kilobytes = named.get("MemAvailable", "").split()
    return int(kilobytes[0]) * 1024 if kilobytes else None


def _left_in_cgroup() -> int | None:
    """Returns the free bytes of the container in which this process may run."""
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return max(0, int(limit) - used) if limit.isdigit() else None
