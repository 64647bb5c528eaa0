"""The masks of dropout against independent draws; bounds are 4.5 standard deviations.

A mask of independent draws exceeds such a bound once in 150,000 comparisons, and the
keys are fixed, so that the tests give the same figures at every run.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.models.dropout import dropout, random_bits

BOUND = 4.5  # standard deviations
SHAPE = (16, 64, 128)  # batch, time, width
STEP_KEY = jax.random.key(7)
bits_of = jax.jit(random_bits, static_argnums=1)


class Dropout(nn.Module):
    rate: float
    num_layers: int = 1

    @nn.compact
    def __call__(self, inputs):
        """Applies dropout to the same inputs once per layer: a list of outputs."""
        return [dropout(self, inputs, self.rate) for _ in range(self.num_layers)]


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def dropped(key, rate, num_layers=1, shape=SHAPE):
    """Returns which values are zero, bool[layers, *shape]."""
    module = Dropout(rate, num_layers)
    outputs = module.apply({}, jnp.ones(shape), rngs={"dropout": key})
    return jnp.stack(outputs) == 0


def steps(num_steps, rate, shape):
    """Returns the masks of successive steps, bool[steps, *shape]."""
    keys = jax.vmap(functools.partial(jax.random.fold_in, STEP_KEY))(
        jnp.arange(num_steps)
    )
    found = jax.vmap(lambda key: dropped(key, rate, 1, shape)[0])(keys)
    return np.asarray(found)


def assert_frequency(events, probability):
    """The mean of independent events is within the bound of its probability."""
    spread = np.sqrt(probability * (1 - probability) / events.size)
    assert abs(events.mean() - probability) < BOUND * spread


def assert_independent(one, other, rate):
    """Two masks share as many zeros as independent draws do."""
    assert_frequency(one & other, rate**2)


def assert_even(counts, num_draws, rate):
    """Chi-squared of binomial counts is within the bound of its mean."""
    terms = (counts - num_draws * rate) ** 2 / (num_draws * rate * (1 - rate))
    # A term is the square of a nearly normal number: its variance is 2 and a little.
    extra = (1 - 6 * rate * (1 - rate)) / (num_draws * rate * (1 - rate))
    spread = np.sqrt((2 + extra) * counts.size)
    assert abs(terms.sum() - counts.size) < BOUND * spread


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.2, 0.5, 0.95])
def test_the_frequency_of_zeros_is_the_rate(rate):
    found = np.asarray(dropped(STEP_KEY, rate))[0]
    assert_frequency(found, rate)


@pytest.mark.parametrize("key", [0, 1, 2, 2**31, 2**32 - 1])
def test_every_bit_is_one_in_half_of_the_words(key):
    """Also for keys as close as those of a user's own seeds."""
    found = np.asarray(bits_of(jax.random.key(key), SHAPE))
    for k in range(32):
        assert_frequency((found >> np.uint32(k)) & 1, 0.5)
    near = np.asarray(bits_of(jax.random.key(key ^ 1), SHAPE))
    for k in range(32):
        assert_frequency(((found ^ near) >> np.uint32(k)) & 1, 0.5)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_every_row_and_every_column_has_its_share(rate):
    found = np.asarray(dropped(STEP_KEY, rate))[0]
    for axes in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2)):
        counts = found.sum(axis=axes)
        assert_even(counts, found.size / counts.size, rate)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_neighbours_are_independent(rate):
    """In width, time and batch, and at distances of powers of two."""
    flat = np.asarray(dropped(STEP_KEY, rate))[0].reshape(-1)
    distances = {2**k for k in range(16)} | {3, 5, 127, 129, 8191, 8193}
    for distance in distances:
        assert_independent(flat[:-distance], flat[distance:], rate)
    for mask in (2**k for k in range(16)):  # neighbours by one bit of the index
        index = np.arange(flat.size)
        lower = index[index & mask == 0]
        assert_independent(flat[lower], flat[lower ^ mask], rate)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_runs_of_values_have_all_patterns(rate):
    flat = np.asarray(dropped(STEP_KEY, rate))[0].reshape(-1, 8)
    codes = flat @ (1 << np.arange(8))
    ones = np.asarray([bin(code).count("1") for code in range(256)])
    expected = len(flat) * rate**ones * (1 - rate) ** (8 - ones)
    found = np.bincount(codes, minlength=256)
    often = expected > 5
    terms = (found[often] - expected[often]) ** 2 / expected[often]
    assert abs(terms.sum() - often.sum()) < BOUND * np.sqrt(2 * often.sum())


def test_steps_are_independent():
    found = steps(400, 0.3, (4, 128)).reshape(400, -1)
    for distance in (1, 2, 3, 64, 128):
        assert_independent(found[:-distance], found[distance:], 0.3)
    assert_even(found.sum(axis=0), 400, 0.3)  # each value over the steps
    assert_even(found.sum(axis=1), found.shape[1], 0.3)  # each step over the values
    for shift in (1, 128):  # no mask is that of the step before, moved
        assert_independent(found[:-1, shift:], found[1:, :-shift], 0.3)


def test_layers_are_independent():
    found = np.asarray(dropped(STEP_KEY, 0.3, 4))
    for i in range(4):
        for j in range(i):
            assert_independent(found[i], found[j], 0.3)


def test_lanes_are_those_of_their_keys():
    keys = jax.random.split(STEP_KEY, 3)
    mapped = jax.jit(jax.vmap(lambda key: random_bits(key, (5, 7))))(keys)
    for key, lane in zip(keys, mapped, strict=True):
        np.testing.assert_array_equal(lane, bits_of(key, (5, 7)))
    assert len(np.unique(mapped)) == mapped.size


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_values_are_zero_or_scaled_in_their_own_type(dtype):
    with jax.enable_x64(dtype == "float64"):
        inputs = jnp.full((200, 100), 3.0, dtype)
        module = Dropout(0.25)
        (out,) = module.apply({}, inputs, rngs={"dropout": STEP_KEY})
        assert out.dtype == dtype
        assert np.unique(np.asarray(out, np.float64)).tolist() == [0.0, 4.0]
        assert_frequency(np.asarray(out) == 0, 0.25)
        # Evaluation, and a rate of zero, change nothing and draw nothing.
        assert module.apply({}, inputs)[0] is inputs
        assert Dropout(0.0).apply({}, inputs, rngs={"dropout": STEP_KEY})[0] is inputs


def test_the_mask_of_the_gradient_is_that_of_the_values():
    def total(inputs):
        (out,) = Dropout(0.3).apply({}, inputs, rngs={"dropout": STEP_KEY})
        return out.sum(), out

    grads, out = jax.grad(total, has_aux=True)(jnp.ones((50, 40)))
    np.testing.assert_array_equal(grads, out)


def test_a_key_of_another_generator_gives_its_bits():
    key = jax.random.key(3, impl="rbg")
    expected = jax.random.bits(key, (4, 5), jnp.uint32)
    np.testing.assert_array_equal(bits_of(key, (4, 5)), expected)
