import math

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


@pytest.mark.parametrize("num_examples", [1, 9, 1257, 60_000])
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


def orders(num_examples, num_seeds, num_epochs):
    """Returns the orders of some seeds and epochs: [orders, examples]."""
    epochs = np.repeat(np.arange(num_epochs, dtype=np.uint32), num_examples)
    positions = np.tile(np.arange(num_examples, dtype=np.uint32), num_epochs)
    found = [order(seed, epochs, positions, num_examples) for seed in range(num_seeds)]
    return np.concatenate(found).reshape(-1, num_examples)


def deviation(counts, expected):
    """Returns by how many standard deviations chi-squared is above its mean."""
    free = len(counts) - 1
    return (((counts - expected) ** 2 / expected).sum() - free) / np.sqrt(2 * free)


@pytest.mark.parametrize("num_examples", [2, 3, 4, 5, 6])
def test_all_orders_of_few_examples_are_equally_frequent(num_examples):
    found = orders(num_examples, 20, 1_200)
    codes = found.astype(np.int64) @ num_examples ** np.arange(num_examples)
    _, counts = np.unique(codes, return_counts=True)
    assert len(counts) == math.factorial(num_examples)
    assert deviation(counts, len(found) / len(counts)) < 4.0


@pytest.mark.parametrize("num_examples", [8, 9, 25])
def test_pairs_and_parities_of_small_orders_are_equally_frequent(num_examples):
    found = orders(num_examples, 20, 500).astype(np.int64)
    pairs = np.bincount(found[:, 0] * num_examples + found[:, 1])
    pairs = pairs[pairs > 0]
    assert len(pairs) == num_examples * (num_examples - 1)
    assert deviation(pairs, len(found) / len(pairs)) < 4.0
    later = found[:, :, None] > found[:, None, :]
    num_swapped = np.triu(later, 1).sum(axis=(1, 2))
    assert abs((num_swapped % 2).mean() - 0.5) < 0.02, "half of the orders are odd"


def test_the_order_of_50_examples_and_more_is_as_it_was():
    known = {50: [19, 35, 39], 1257: [658, 275, 785]}
    for num_examples, first in known.items():
        found = order(3, 1, np.arange(3, dtype=np.uint32), num_examples)
        assert found.tolist() == first


def test_large_data_needs_no_memory():
    index = order(0, 0, np.asarray([2**31 - 1], np.uint32), 2**31)
    assert 0 <= int(index[0]) < 2**31
