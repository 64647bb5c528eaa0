"""Decides by a measured rule how many threads of a CPU one operation may use.

The rule takes one thread only if the bits are the same with one thread and with two. So
a trial has the same bits when it runs alone and when it runs beside other seeds, which
need a thread each. Of 90 small programs the bits were the same for all whose step
touches up to 1 MB, and for all without a loop over time that touch up to 2 MB with up
to 64 examples in a batch. The last bits of larger programs depend on the number of
threads, so the number is in the plan.

Up to 1 MB, a second thread never saves time. Measured on 2 cores, in us per step with 1
and with 2 threads: a GRU of 16 units (0.1 MB) 87 and 103; a CNN of 4 and 8 channels
(0.4 MB) 90 and 110; a Transformer of width 16 (0.9 MB) 153 and 170. For large networks
two threads are faster: an MLP of 512 units (5 MB) 2,180 and 1,440; the CNN (160 MB)
31,000 and 15,000; a Transformer (3 x 128) 194,000 and 117,000. Between 1 and 2 MB it
depends on the machine: the tutorial MLP (1.6 MB) took 247 and 298 on one machine, and
229 and 156 on another. So a product of its size is timed with both numbers. That takes
0.3 s, and a short run takes all threads without it.
"""

import functools
import os
import time

import jax
import jax.numpy as jnp
from jax.extend import backend

from gradjax.trials import cores, cost
from gradjax.types import Program

_MAX_BYTES = 1_000_000  # one thread is used if a step touches no more than this
_MAX_BYTES_WITHOUT_LOOP, _MAX_EXAMPLES = 2_000_000, 64
_MIN_STEPS = 20_000  # of a run for which timing a product pays
_VARIABLE = "NPROC"  # XLA reads the number of threads of a CPU client from it


def num_threads() -> int | None:
    """Returns the threads of one operation on a CPU; None on another device."""
    if not cores.is_cpu():
        return None
    said = os.environ.get(_VARIABLE, "")
    chosen = int(said) if said.isdecimal() and int(said) else cores.num_cores()
    return max(chosen, jax.local_device_count())


def is_small(program: Program) -> bool:
    """Returns whether the bits are the same with every number of threads."""
    size, batch = cost.touched_bytes(program), program.plan.batch_size or 1
    is_short = not cost.has_loop(program) and batch <= _MAX_EXAMPLES
    return size <= (_MAX_BYTES_WITHOUT_LOOP if is_short else _MAX_BYTES)


def threads_for(program: Program) -> int:
    """Returns the number of threads that the rule gives for a program.

    It may start the backend again, to time a product with one thread and with all.
    """
    if not is_small(program):
        return cores.num_cores()
    if cost.touched_bytes(program) <= _MAX_BYTES:
        return 1
    is_long = program.plan.num_steps >= _MIN_STEPS
    return 1 if is_long and _is_one_faster() else cores.num_cores()


@functools.cache
def _is_one_faster() -> bool:
    """Returns whether one thread multiplies matrices of the tutorial MLP faster."""
    return _product_seconds(1) < _product_seconds(cores.num_cores())


def _product_seconds(threads: int) -> float:
    """Times a product and its gradient: f32[32, 784] @ f32[784, 128], the best of 3."""
    use(threads)

    @jax.jit
    def descend(weights: jax.Array, inputs: jax.Array) -> jax.Array:
        def step(_: jax.Array, weights: jax.Array) -> jax.Array:
            hidden = jnp.maximum(inputs @ weights, 0.0)
            return weights - 1e-6 * (inputs.T @ hidden)

        return jax.lax.fori_loop(0, 50, step, weights)

    weights, inputs = jnp.ones((784, 128)), jnp.ones((32, 784))
    times = []
    for _ in range(4):  # the first call compiles
        start = time.perf_counter()
        jax.block_until_ready(descend(weights, inputs))
        times.append(time.perf_counter() - start)
    return min(times[1:])


def use(threads: int) -> None:
    """Starts the CPU backend with this number of threads; restarts a running one.

    Nothing is done on an accelerator. A restart takes 10 ms. Existing arrays remain
    valid, and compiled programs are forgotten.
    """
    if cores.is_cpu() and num_threads() != threads:
        os.environ[_VARIABLE] = str(threads)
        backend.clear_backends()
