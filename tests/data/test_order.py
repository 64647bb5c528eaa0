import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.data.order import order


@pytest.mark.parametrize("num_examples", [1, 2, 3, 7, 64, 100, 1257, 5_000])
@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_an_epoch_sees_every_example_once(num_examples, seed):
    positions = np.arange(num_examples, dtype=np.uint32)
    seen = order(seed, 3, positions, num_examples)
    np.testing.assert_array_equal(np.sort(seen), positions)


@pytest.mark.parametrize("num_examples", [1, 2, 1257, 60_000])
def test_numpy_and_jax_agree_bit_for_bit(num_examples):
    positions = np.arange(num_examples, dtype=np.uint32)
    on_host = order(7, 2, positions, num_examples)
    on_device = order(
        jnp.uint32(7), jnp.uint32(2), jnp.asarray(positions), num_examples
    )
    np.testing.assert_array_equal(on_host, np.asarray(on_device))
    assert on_host.dtype == on_device.dtype == np.uint32


def test_seeds_and_epochs_differ():
    positions = np.arange(1257, dtype=np.uint32)
    orders = [
        order(seed, epoch, positions, 1257) for seed in range(3) for epoch in range(3)
    ]
    assert len({tuple(one.tolist()) for one in orders}) == 9


def test_large_data_needs_no_memory():
    index = order(0, 0, np.asarray([2**31 - 1], np.uint32), 2**31)
    assert 0 <= int(index[0]) < 2**31
