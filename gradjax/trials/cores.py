"""The devices on which a program runs: the cores of a CPU, or accelerators."""

import os
from typing import Any

import jax


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
    return num_cores() if is_cpu() else jax.device_count()


def devices(count: int) -> tuple[Any, ...]:
    """Returns the device of each of `count` calls; a CPU is one device for all."""
    known = jax.devices()
    return (known[0],) * count if is_cpu() else tuple(known[:count])
