"""Where calls of a program run: on the cores of a CPU, or on accelerators."""

import os
from typing import Any

import jax


def num_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_cpu() -> bool:
    """Whether JAX computes on the CPU."""
    return jax.default_backend() == "cpu"


def num_devices() -> int:
    """How many calls may run at the same time: on each core, or on each accelerator."""
    return num_cores() if is_cpu() else jax.device_count()


def devices(count: int) -> tuple[Any, ...]:
    """The device of each of `count` calls; all cores of a CPU are one device."""
    known = jax.devices()
    return (known[0],) * count if is_cpu() else tuple(known[:count])
