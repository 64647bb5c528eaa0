"""Decides by a measured rule how many threads of a CPU one operation may use.

For a small network a second thread costs more than it saves. Measured on 2 cores, in us
per step with 1 and with 2 threads: the tutorial MLP (a step touches 1.6 MB) 247 and 298
on one machine, 205 and 200 to 237 on another; a GRU of 16 units (0.1 MB) 87 and 103; a
CNN of 4 and 8 channels (0.4 MB) 90 and 110; a Transformer of width 16 (0.9 MB) 153 and
170. For larger networks two threads are faster: an MLP of 512 units (5 MB) 2,180 and
1,440; the CNN (160 MB) 31,000 and 15,000; a Transformer (3 x 128) 194,000 and 117,000.

The rule takes one thread only if the bits are the same with one thread and with two. So
a trial has the same bits when it runs alone and when it runs beside other seeds, which
need a thread each. Of 90 small programs the bits were the same for all whose step
touches up to 1 MB, and for all without a loop over time that touch up to 2 MB with up
to 64 examples in a batch. The last bits of larger programs depend on the number of
threads, so the number is in the plan.
"""

import os

import jax
from jax.extend import backend

from gradjax.trials import cores, cost
from gradjax.types import Program

_MAX_BYTES = 1_000_000  # one thread is used if a step touches no more than this
_MAX_BYTES_WITHOUT_LOOP, _MAX_EXAMPLES = 2_000_000, 64
_VARIABLE = "NPROC"  # XLA reads the number of threads of a CPU client from it


def num_threads() -> int | None:
    """Returns the threads of one operation on a CPU; None on another device."""
    if not cores.is_cpu():
        return None
    said = os.environ.get(_VARIABLE, "")
    chosen = int(said) if said.isdecimal() and int(said) else cores.num_cores()
    return max(chosen, jax.device_count())


def threads_for(program: Program) -> int:
    """Returns the number of threads that the rule gives for a program."""
    size, batch = cost.touched_bytes(program), program.plan.batch_size or 1
    is_short = not cost.has_loop(program) and batch <= _MAX_EXAMPLES
    limit = _MAX_BYTES_WITHOUT_LOOP if is_short else _MAX_BYTES
    return 1 if size <= limit else cores.num_cores()


def use(threads: int) -> None:
    """Starts the CPU backend with this number of threads; restarts a running one.

    Nothing is done on an accelerator. A restart takes 10 ms. Existing arrays remain
    valid, and compiled programs are forgotten.
    """
    if cores.is_cpu() and num_threads() != threads:
        os.environ[_VARIABLE] = str(threads)
        backend.clear_backends()
