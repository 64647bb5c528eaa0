import numpy as np
import pytest

from gradjax.diagnostics import critical_batch
from gradjax.errors import Refusal

SIZES = np.asarray([4.0, 16.0, 64.0, 256.0])


def test_at_the_critical_batch_size_steps_and_examples_double():
    found = critical_batch.costs(50.0, 50.0)
    assert (found["steps"], found["examples"], found["rate"]) == (2.0, 2.0, 0.5)


def test_the_product_of_both_excesses_is_1():
    found = critical_batch.costs(SIZES, 50.0)
    product = (found["steps"] - 1.0) * (found["examples"] - 1.0)
    np.testing.assert_allclose(product, 1.0, rtol=1e-6)


def test_a_fit_finds_the_curve_on_which_the_trainings_lie():
    steps = 300.0 * (1.0 + 50.0 / SIZES)
    found = critical_batch.trade(steps, steps * SIZES)
    np.testing.assert_allclose(found, (300.0, 15_000.0, 50.0), rtol=1e-10)


def test_a_fit_of_noisy_trainings_is_near():
    noise = 1.0 + 0.02 * np.random.default_rng(0).standard_normal(4)
    steps = 300.0 * (1.0 + 50.0 / SIZES) * noise
    found = critical_batch.trade(steps, steps * SIZES)
    np.testing.assert_allclose(found, (300.0, 15_000.0, 50.0), rtol=0.1)


@pytest.mark.parametrize(
    ("steps", "examples"),
    [([1.0], [4.0]), ([1.0, -2.0], [4.0, 8.0]), ([1.0, np.nan], [4.0, 8.0])],
)
def test_what_is_no_list_of_trainings_is_refused(steps, examples):
    with pytest.raises(Refusal, match="at least two trainings"):
        critical_batch.trade(steps, examples)


@pytest.mark.parametrize(
    ("steps", "examples"), [([10.0, 10.0], [40.0, 40.0]), ([10.0, 20.0], [40.0, 160.0])]
)
def test_trainings_without_a_trade_are_refused(steps, examples):
    with pytest.raises(Refusal, match="no critical batch size fits"):
        critical_batch.trade(steps, examples)
