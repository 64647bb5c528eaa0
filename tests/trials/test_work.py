"""Which part of the work of a kernel is done at the same time as another part."""

import jax
import jax.numpy as jnp
import pytest

from gradjax.trials.work import Work, seconds, work
from gradjax.trials.working_set import touched_bytes

SMALL, LARGE, HUGE = (
    jax.ShapeDtypeStruct((n,), jnp.float32) for n in (10, 2**20, 2**25)
)


def counted(function, *args):
    return work(jax.make_jaxpr(function)(*args))


def test_additions_are_hidden_while_a_large_value_is_moved():
    def function(x):
        return x * 2 + 1

    assert counted(function, SMALL).elements == 20
    large = counted(function, LARGE)
    assert large.elements == 0 and large.far_bytes == 2 * 4 * 2**20


def test_additions_that_take_longer_than_the_value_are_not_hidden():
    size = 2**20
    assert counted(jnp.tanh, LARGE).elements == 50 * size - 8 * size


def test_the_additions_of_a_sum_are_not_hidden():
    found = counted(lambda x: (x * x).sum(), LARGE)
    assert found.elements == 4 * 2**20 and found.far_bytes == 4 * 2**20


def test_rounding_to_fewer_bits_is_no_sum():
    def rounded(x):
        return jax.lax.reduce_precision(x, 8, 7)

    assert counted(rounded, LARGE).elements == 0


def test_a_large_value_is_moved_while_a_product_is_computed():
    wide = jax.ShapeDtypeStruct((1024, 1024), jnp.float32)
    found = counted(jnp.matmul, wide, wide)
    assert found.products == 2 * 1024**3 and found.far_bytes == 0
    vector = jax.ShapeDtypeStruct((1024,), jnp.float32)
    assert counted(jnp.matmul, wide, vector).far_bytes > 3 * 2**20


@pytest.mark.parametrize("axis", [0, 2])
def test_a_sum_over_an_axis_of_length_one_is_no_work(axis):
    shape = [1, 2**20, 1]
    given = jax.ShapeDtypeStruct(shape, jnp.float32)
    assert counted(lambda x: x.sum(axis), given) == Work()
    assert counted(lambda x: x[None].max(0), SMALL) == Work()
    assert counted(lambda x: x.sum(), given).kernels == 1


def test_values_that_the_shared_cache_does_not_hold_come_from_memory():
    def twice(x):
        return x * 2

    held, not_held = counted(twice, LARGE), counted(twice, HUGE)
    assert held.memory_bytes == 0 < held.far_bytes
    assert not_held.far_bytes / 2 < not_held.memory_bytes < not_held.far_bytes
    times = not_held.far_bytes / held.far_bytes
    assert seconds(not_held) > 1.5 * times * seconds(held)


def test_the_data_of_which_rows_are_read_is_not_touched():
    data = jax.ShapeDtypeStruct((2**20, 8), jnp.float32)
    places = jax.ShapeDtypeStruct((32,), jnp.int32)
    jaxpr = jax.make_jaxpr(lambda data, places: data[places] * 2)(data, places)
    assert touched_bytes(jaxpr) < 10_000
    jaxpr = jax.make_jaxpr(lambda data, places: data[places] * data.sum())(data, places)
    assert touched_bytes(jaxpr) > 2**25
