import numpy as np
import pytest
from scipy import stats
from scipy.stats import qmc

from gradjax.errors import Refusal
from gradjax.search import SEARCHES, unit_cube
from gradjax.search.halton import draw as halton_draw
from gradjax.search.sobol import draw as sobol_draw
from gradjax.search.uniform import draw as random_draw
from gradjax.types import Dimension, Space

DRAWS = {"halton": halton_draw, "random": random_draw, "sobol": sobol_draw}


def column(name, dimension, count, seed=0):
    method = SEARCHES[name]()
    _, points = method.ask(method.init(Space((dimension,)), seed), count)
    return [point[dimension.name] for point in points]


@pytest.mark.parametrize("name", sorted(DRAWS))
def test_rates_are_uniform_in_their_logarithm(name):
    rates = column(name, Dimension("learning_rate", "log", 1e-4, 1.0), 1_000)
    exponents = np.log10(rates)
    assert stats.kstest(exponents, "uniform", args=(-4, 4)).pvalue > 1e-3
    shares = np.histogram(exponents, bins=4, range=(-4, 0))[0] / 1_000
    np.testing.assert_allclose(shares, 0.25, atol=0.05)


@pytest.mark.parametrize("name", sorted(DRAWS))
def test_whole_numbers_and_choices_have_equal_shares_both_ends_included(name):
    whole = column(name, Dimension("x", "int", -2, 2), 1_000)
    assert set(whole) == {-2, -1, 0, 1, 2}
    words = column(name, Dimension("x", "choice", values=("a", "b", "c")), 1_000)
    for found, count in ((whole, 5), (words, 3)):
        shares = np.unique(found, return_counts=True)[1] / 1_000
        np.testing.assert_allclose(shares, 1 / count, atol=0.05)


@pytest.mark.parametrize("name", sorted(DRAWS))
def test_coordinates_lie_in_the_half_open_cube(name):
    coordinates = DRAWS[name](3, 7, 5, 4_000)
    assert coordinates.shape == (4_000, 3)
    assert coordinates.dtype == np.float64
    assert coordinates.min() >= 0
    assert coordinates.max() < 1


@pytest.mark.parametrize("name", ["halton", "sobol"])
@pytest.mark.parametrize("count", [64, 100])
def test_quasi_random_points_are_spread_better_than_random_ones(name, count):
    quasi = [qmc.discrepancy(DRAWS[name](3, seed, 0, count)) for seed in range(5)]
    random = [qmc.discrepancy(random_draw(3, seed, 0, count)) for seed in range(5)]
    assert max(quasi) < min(random)


def test_sobol_is_balanced_at_a_power_of_two():
    coordinates = sobol_draw(2, 3, 0, 64)
    for axis in coordinates.T:  # one point in each of 64 cells
        assert sorted(np.floor(axis * 64)) == list(range(64))


def test_the_first_points_of_sequences_are_scipys():
    rng = np.random.default_rng(5)
    np.testing.assert_array_equal(
        halton_draw(4, 5, 2, 6), qmc.Halton(4, rng=rng).random(8)[2:]
    )
    rng = np.random.default_rng(5)
    np.testing.assert_array_equal(
        sobol_draw(4, 5, 2, 5), qmc.Sobol(4, rng=rng).random(8)[2:7]
    )
    np.testing.assert_array_equal(
        random_draw(4, 5, 2, 5), np.random.default_rng(5).random((7, 4))[2:]
    )


def test_more_dimensions_than_sobol_has_are_refused():
    with pytest.raises(Refusal, match="at most 21,201; halton"):
        sobol_draw(21_202, 0, 0, 1)


@pytest.mark.parametrize(
    ("kind", "low", "high", "coordinate", "expected"),
    [
        ("log", 1e-4, 1.0, 0.0, 1e-4),
        ("log", 1e-4, 1.0, 0.5, 1e-2),
        ("log", 1e-4, 1.0, 1.0, 1.0),
        ("log", 1.2e-38, 3.4e38, 1.0, 3.4e38),
        ("linear", -3e38, 3e38, 0.5, 0.0),
        ("linear", 0.1, 0.3, 1.0, 0.3),
        ("int", 3, 6, 0.0, 3),
        ("int", 3, 6, 0.2499, 3),
        ("int", 3, 6, 0.25, 4),
        ("int", 3, 6, 0.9999, 6),
        ("int", -(2**53), 2**53, 1 - 2**-53, 2**53 - 2),
        ("int", 3, 6, 1.0, 6),
    ],
)
def test_a_coordinate_is_a_value(kind, low, high, coordinate, expected):
    found = unit_cube.value(Dimension("x", kind, low, high), coordinate)
    assert type(found) is type(expected)
    assert found == pytest.approx(expected, rel=1e-15)
