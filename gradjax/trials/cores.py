"""The devices on which a program runs: the cores of a CPU, or accelerators."""

import contextlib
import os
import platform
from pathlib import Path
from typing import Any

import jax

# Of x86-64 and of ARM, the widest first. XLA compiles for the widest one of a CPU, and
# the order of its sums depends on the width.
_INSTRUCTION_SETS = ("avx512f", "avx2", "avx", "sse4_2", "sve2", "sve", "asimd")
_CPU_INFO = Path("/proc/cpuinfo")


def num_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_cpu() -> bool:
    """Returns whether JAX computes on the CPU."""
    return jax.default_backend() == "cpu"


def num_devices() -> int:
    """Returns how many calls can run at once: one per core or per accelerator."""
    return num_cores() if is_cpu() else jax.local_device_count()


def devices(count: int) -> tuple[Any, ...]:
    """Returns the device of each of `count` calls; a CPU is one device for all."""
    known = jax.local_devices()
    return (known[0],) * count if is_cpu() else tuple(known[:count])


def cpu(path: Path = _CPU_INFO) -> dict[str, str]:
    """Returns the name of the CPU and its widest set of vector instructions.

    Args:
      path: a file as Linux describes its CPUs; where there is none, the architecture
        stands for both.
    """
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        lines = path.read_text(errors="replace").splitlines()
        pairs = [line.partition(":") for line in lines]
        found = {name.strip(): value.strip() for name, _, value in reversed(pairs)}
    flags = (found.get("flags") or found.get("Features") or "").split()
    architecture = platform.machine()
    widest = next((one for one in _INSTRUCTION_SETS if one in flags), None)
    return {
        "cpu": found.get("model name") or architecture,
        "instruction_set": " ".join(filter(None, [architecture, widest])),
    }
