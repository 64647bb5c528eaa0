import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.data.order import MAX_EXAMPLES, order, places


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


COUNTS = [  # examples, examples per batch
    *((1, 1), (7, 3), (60_000, 128), (65_536, 65_536), (10**6, 100), (2**31, 3))
]
STEPS = np.array(
    [0, 1, 2, 99, 2**16 - 1, 2**16, 10**6 + 1, 2**31 - 2, 2**31 - 1], np.uint32
)


@pytest.mark.parametrize(("num_examples", "batch_size"), COUNTS)
def test_places_count_past_2_to_the_32(num_examples, batch_size):
    """Against whole numbers of Python; numpy, and jax agree."""
    epoch, position = places(STEPS, batch_size, num_examples)
    assert epoch.shape == position.shape == (len(STEPS), batch_size)
    assert epoch.dtype == position.dtype == np.uint32
    for row, step in enumerate(STEPS.tolist()):
        for j in {0, batch_size // 2, batch_size - 1}:
            expected = divmod(step * batch_size + j, num_examples)
            assert (epoch[row, j], position[row, j]) == expected
    found = jax.jit(lambda step: places(step, batch_size, num_examples))(STEPS)
    np.testing.assert_array_equal(found, (epoch, position))


def test_a_batch_of_all_of_2_to_the_31_examples_is_an_epoch():
    """Without making it: the first place of each step is position 0 of its epoch."""
    first = jax.jit(lambda step: [x[..., 0] for x in places(step, 2**31, 2**31)])
    np.testing.assert_array_equal(first(STEPS), [STEPS, 0 * STEPS])


def test_large_data_needs_no_memory():
    index = order(0, 0, np.asarray([2**31 - 1], np.uint32), 2**31)
    assert 0 <= int(index[0]) < 2**31


# The order of 2**31 examples is tested on samples of positions. A bound is 4.5 standard
# deviations of a random permutation, which differ from those of independent draws by a
# factor of sqrt(1 - samples / 2**31), so not visibly.
SAMPLES, BOUND = 2**17, 4.5
SIDE = math.isqrt(MAX_EXAMPLES - 1) + 1  # both halves of the Feistel network


def sampled(epoch, start=0):
    """Returns positions of an epoch of 2**31 examples and their indices, i64."""
    rng = np.random.default_rng([epoch, start])
    positions = rng.integers(start, MAX_EXAMPLES - 2 * SIDE, SAMPLES, np.int64)
    return positions, at(epoch, positions)


def at(epoch, positions, seed=3):
    found = order(seed, np.uint32(epoch), positions.astype(np.uint32), MAX_EXAMPLES)
    return found.astype(np.int64)


def assert_independent(one, other, num_bins=32):
    """Chi-squared of pairs, with bins of high digits, low digits and both halves."""
    for part in (high, low, upper, lower):
        for also in (high, low, upper, lower):
            cells = part(one, num_bins) * num_bins + also(other, num_bins)
            counts = np.bincount(cells, minlength=num_bins**2)
            assert abs(deviation(counts, len(one) / num_bins**2)) < BOUND


def high(index, num_bins):
    return index * num_bins // MAX_EXAMPLES


def low(index, num_bins):
    return index % num_bins


def upper(index, num_bins):
    return index // SIDE % num_bins


def lower(index, num_bins):
    return index % SIDE * num_bins // SIDE


def assert_uncorrelated(one, other):
    assert abs(np.corrcoef(one, other)[0, 1]) * np.sqrt(len(one)) < BOUND


@pytest.mark.parametrize("epoch", [0, 1, 2**31 - 1])
def test_indices_of_2_to_the_31_examples_do_not_depend_on_the_position(epoch):
    positions, indices = sampled(epoch)
    assert len(np.unique(indices)) == len(np.unique(positions))
    assert_independent(positions, indices)
    assert_uncorrelated(positions, indices)


@pytest.mark.parametrize("distance", [1, 2, 64, SIDE, SIDE + 1])
def test_the_order_of_2_to_the_31_examples_has_no_serial_correlation(distance):
    positions, indices = sampled(0)
    later = at(0, positions + distance)
    assert_uncorrelated(indices, later)
    assert_independent(indices, later)


def test_an_order_of_2_to_the_31_examples_has_no_fixed_points():
    """One is expected in 2**31; of indices within 2**17 of their position, 2**-13."""
    near = 2**17
    found = 0
    for epoch in range(8):
        positions, indices = sampled(epoch, start=near)
        assert not (positions == indices).any()
        found += (abs(positions - indices) <= near).sum()
    expected = 8 * SAMPLES * (2 * near + 1) / MAX_EXAMPLES
    assert abs(found - expected) < BOUND * np.sqrt(expected)


@pytest.mark.parametrize(("one", "other"), [(0, 1), (1, 2), (0, 2**31 - 1)])
def test_epochs_of_2_to_the_31_examples_are_uncorrelated(one, other):
    positions, indices = sampled(one)
    again = at(other, positions)
    assert_uncorrelated(indices, again)
    assert_independent(indices, again)
    assert_independent(indices, at(one, positions, seed=4))


def test_the_order_of_2_to_the_31_examples_is_the_same_in_numpy_and_jax():
    positions, indices = sampled(5)
    of_epoch = jax.jit(lambda *args: order(*args, MAX_EXAMPLES))
    found = of_epoch(3, jnp.uint32(5), positions[:5_000].astype(np.uint32))
    np.testing.assert_array_equal(found, indices[:5_000])
