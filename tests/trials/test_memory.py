"""What a batch takes is known before it runs, and running out costs no trial."""

import ctypes
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Refusal, problems
from gradjax.trials import batches, lanes, memory

RATES = [{"learning_rate": rate} for rate in (0.01, 0.03, 0.1, 0.2)]


def test_what_a_program_needs_is_arguments_results_and_what_is_between():
    x = jnp.zeros((64, 64), jnp.float32)
    compiled = jax.jit(lambda x: x @ x).lower(x).compile()
    assert memory.needed_bytes(compiled) >= 2 * x.nbytes
    donated = jax.jit(lambda x: x + 1.0, donate_argnums=0).lower(x).compile()
    assert memory.needed_bytes(donated) == x.nbytes


@pytest.mark.parametrize(
    ("available", "fitting"), [(None, 4), (1_000, 4), (250, 2), (100, 1)]
)
def test_fewer_batches_at_once_where_memory_is_short(available, fitting, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda _: available)
    assert memory.in_flight(100, (jax.devices()[0],) * 4) == fitting


@pytest.mark.slow
def test_a_batch_that_cannot_fit_is_refused_before_it_runs(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda _: 10)
    program = gradjax.program(problems.make("ridge"), "sgd", num_steps=10)
    made = lanes.lanes(program, width=2)
    with pytest.raises(Refusal, match=r"needs [\d,]+ bytes of memory, and 10 are free"):
        batches.run(made, RATES, [0] * 4)


def test_the_host_says_how_much_is_free():
    free = memory.available_bytes(jax.devices()[0])
    assert free is None or free > 2**20


def out_of_memory(made, calls_that_fail):
    """The same lanes, three batches at once; some calls run out of memory."""
    count = iter(range(1_000))
    ready = made.ready()

    def call(*args):
        if next(count) in calls_that_fail:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return ready.calls[0](*args)

    short = ready._replace(calls=(call,) * 3, in_flight=3)
    return made._replace(ready=lambda: short)


@pytest.fixture(scope="module")
def made():
    problem = problems.make("ridge")
    program = gradjax.program(problem, "sgd", num_steps=30, eval_every=10)
    return lanes.lanes(program, width=1)


@pytest.mark.slow
def test_running_out_of_memory_halves_what_is_at_once_and_loses_nothing(made):
    whole = batches.run(made, RATES, [0] * 4)
    short = batches.run(out_of_memory(made, {0, 1, 3}), RATES, [0] * 4)
    np.testing.assert_array_equal(
        whole.trace["loss"].values, short.trace["loss"].values
    )


def test_running_out_of_memory_with_one_batch_is_refused_with_its_size(made):
    with pytest.raises(Refusal, match=r"needs [\d,]+ bytes"):
        batches.run(out_of_memory(made, set(range(1_000))), RATES, [0] * 4)


def test_what_fails_for_another_reason_is_not_tried_again(made):
    ready = made.ready()

    def call(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    broken = made._replace(ready=lambda: ready._replace(calls=(call,)))
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        batches.run(broken, RATES, [0] * 4)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_freed_memory_goes_back_to_the_system():
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]

    def resident():
        content = Path("/proc/self/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+)", content)[1]) * 1024

    size, count = 100_000, 500  # under the size from which a block is mapped
    blocks = [libc.malloc(size) for _ in range(count)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks[:-1]:  # the last one keeps the heap from becoming shorter
        libc.free(block)
    before = resident()
    memory.release_freed()
    assert before - resident() > size * count / 2
    libc.free(blocks[-1])
