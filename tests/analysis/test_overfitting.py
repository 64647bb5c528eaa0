"""A validation loss that rises after its minimum is told from noise and from a fall."""

import math

import numpy as np
import pytest

from gradjax.analysis.overfitting import Rise, rise


def test_a_loss_that_rises_has_its_minimum_and_its_end():
    losses = [2.0, 1.0, 0.5, 0.8, 0.7]
    assert rise([10, 20, 30, 40, 50], losses) == Rise(30, 0.5, 0.7)


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [1.0],
        [1.0, 2.0],
        [3.0, 2.0, 1.0],
        [1.0, 1.0, 1.0],
        [2.0, 1.0, 5.0],  # one evaluation alone follows the minimum
        [2.0, 1.0, 5.0, 1.01],  # it came back
    ],
    ids=str,
)
def test_there_is_no_rise(losses):
    assert rise(range(1, len(losses) + 1), losses) is None


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_rise_is_more_than_two_percent_of_the_minimum(sign):
    """Also of a loss below 0, as a log likelihood may be."""
    small, large = (
        [sign + 1.0, sign, sign + 0.5, sign + rest] for rest in (0.019, 0.021)
    )
    assert rise([1, 2, 3, 4], small) is None
    assert rise([1, 2, 3, 4], large) == Rise(2, sign, sign + 0.021)


def test_the_first_of_equal_minima_counts():
    assert rise([1, 2, 3, 4], [1.0, 0.5, 0.5, 0.9]) == Rise(2, 0.5, 0.9)


@pytest.mark.parametrize("hole", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_left_out(hole):
    losses = np.float32([2.0, hole, 0.5, 1.0, 1.5, hole])
    assert rise([1, 2, 3, 4, 5, 6], losses) == Rise(3, 0.5, 1.5)
    assert rise([1, 2, 3], [hole] * 3) is None
