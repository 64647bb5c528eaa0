"""How many devices and threads of a CPU a command uses: a measured rule.

A command trains on one host device per core, and each operation may use several
threads. For a small network the second thread costs more than it saves. Measured on 2
cores, in us per step with 1 and with 2 threads: the tutorial MLP (1.6 MB touched) 247
and 298 on one machine, 205 and 200 to 237 on another; a GRU of 16 units (0.1 MB) 87 and
103; a CNN of 4 and 8 channels (0.4 MB) 90 and 110; a Transformer of width 16 (0.9 MB)
153 and 170. Above: an MLP of 512 units (5 MB) 2,180 and 1,440; the CNN (160 MB) 31,000
and 15,000; a Transformer (3 x 128) 194,000 and 117,000.

The rule takes one thread only where the bits are the same with one and with two, so
that a trial has the same bits alone and beside other seeds, whose devices need a thread
each. Of 90 small programs this held for all that touch up to 1 MB, and for all without
a loop over time that touch up to 2 MB on batches of up to 64 examples. Larger ones have
other last bits with another number of threads, so the number is in the plan.
"""

import os
from typing import Any

import jax
from jax.extend import backend

from gradjax.trials import cost
from gradjax.types import Program

_MAX_BYTES = 1_000_000  # that a step touches, for one thread
_MAX_BYTES_WITHOUT_LOOP, _MAX_EXAMPLES = 2_000_000, 64
_VARIABLE = "NPROC"  # from which XLA takes the number of threads of a CPU client


def num_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_cpu() -> bool:
    """Whether JAX computes on the CPU."""
    return jax.default_backend() == "cpu"


def num_threads() -> int | None:
    """Threads that one operation may use; None: the device is not a CPU."""
    if not is_cpu():
        return None
    said = os.environ.get(_VARIABLE, "")
    chosen = int(said) if said.isdecimal() and int(said) else num_cores()
    return max(chosen, jax.device_count())


def threads_for(program: Program) -> int:
    """The number of threads that the rule gives for a program."""
    size, batch = cost.touched_bytes(program), program.plan.batch_size or 1
    is_short = not cost.has_loop(program) and batch <= _MAX_EXAMPLES
    limit = _MAX_BYTES_WITHOUT_LOOP if is_short else _MAX_BYTES
    return 1 if size <= limit else num_cores()


def use(num_devices: int, threads: int) -> None:
    """Starts the CPU backend with these numbers, again if it is running already.

    An accelerator stays as it is. Starting again takes 10 ms; arrays that exist remain
    valid, and compiled programs are forgotten.
    """
    if not is_cpu() or _is_so(num_devices, threads):
        return
    os.environ[_VARIABLE] = str(threads)
    backend.clear_backends()
    jax.config.update("jax_num_cpu_devices", num_devices)


def _is_so(num_devices: int, threads: int) -> bool:
    config: Any = jax.config
    same_devices = config.jax_num_cpu_devices in (num_devices, -1)
    is_started = jax.device_count() == num_devices and same_devices
    return is_started and num_threads() == max(threads, num_devices)
