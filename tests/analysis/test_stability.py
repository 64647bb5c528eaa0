import numpy as np
import pytest

from gradjax.analysis import stability

STEPS = np.arange(400)


def largest_eigenvalue(rate, curvature, momentum, nesterov):
    """Of one step of sgd on h x^2 / 2, a linear map of (x, v)."""
    x, v = np.eye(2)  # each row: what of (x, v) it is made of
    grads = curvature * x
    after = grads + momentum * v
    step = grads + momentum * after if nesterov else after
    return abs(np.linalg.eigvals(np.array([x - rate * step, after]))).max()


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("curvature", [0.1, 4.0])
def test_the_edge_is_where_an_eigenvalue_leaves_the_unit_circle(
    curvature, momentum, nesterov
):
    edge = stability.edge(curvature, momentum, nesterov)
    inside = largest_eigenvalue(0.999 * edge.rate, curvature, momentum, nesterov)
    outside = largest_eigenvalue(1.001 * edge.rate, curvature, momentum, nesterov)
    assert inside < 1.0 < outside


@pytest.mark.parametrize(
    ("arguments", "formula"),
    [
        ((2.0,), "2 / (largest curvature)"),
        ((2.0, 0.0, True), "2 / (largest curvature)"),
        ((2.0, 0.9), "2 (1 + 0.9) / (largest curvature)"),
        ((2.0, 0.9, True), "2 (1 + 0.9) / (2.8 (largest curvature))"),
    ],
)
def test_an_edge_says_its_formula(arguments, formula):
    assert stability.edge(*arguments).formula == formula


@pytest.mark.parametrize(
    ("heights", "is_growing"),
    [
        (np.exp(-0.01 * STEPS), False),
        (np.exp(-0.1 * STEPS) * (1.3 + np.sin(STEPS)), False),  # oscillates, and falls
        (np.full(400, 2.0), False),
        (np.exp(0.001 * STEPS), True),
        (np.exp(-0.1 * STEPS) + 1e-6 * np.exp(0.02 * STEPS), True),  # falls, then grows
        (np.exp(-0.1 * STEPS) + 1e-6, False),  # falls, then stands still
        (np.where(STEPS % 2, 1e-6, 1.0), True),  # hops between two sides of a valley
        (np.where(STEPS < 300, 1.0, np.inf), True),
        (np.where(STEPS < 300, 1e300, 1.7e308), True),
    ],
)
def test_a_loss_grows_if_it_ends_well_above_its_least(heights, is_growing):
    assert stability.is_growing(heights) is is_growing


def test_no_height_is_below_rounding():
    losses = np.array([3.0, 2.0, 2.0 - 1e-7], np.float32)
    found = stability.outcome(0.1, losses, 2.0, level=2.0)
    eps = np.finfo(np.float32).eps
    np.testing.assert_allclose(found.heights[:1], 1.0)
    assert found.heights[1] == found.heights[2] == found.final
    assert found.final == pytest.approx(64 * eps * 2.0, rel=1e-3)
    exact = stability.outcome(0.1, np.array([3.0, 0.0]), 0.0, level=0.0)
    assert exact.final == pytest.approx(3.0 * np.finfo(np.float64).eps ** 2)


def test_a_loss_that_overflowed_has_no_height():
    losses = np.array([1.0, np.nan, np.inf])
    found = stability.outcome(0.1, losses, np.nan, level=0.0)
    assert found.is_growing
    assert found.final == np.inf
    assert found.fall == -np.inf


def outcome(rate, edge=2.0):
    """Of gradient descent on x^2 / 2 * 2 / edge."""
    losses = (1.0 - 2.0 * rate / edge) ** (2.0 * np.arange(101))
    return stability.outcome(rate, losses[:-1], losses[-1], level=0.0)


def test_a_sweep_finds_the_best_rate_the_edge_and_what_is_right():
    rates = np.geomspace(1e-2, 10.0, 301)
    found = stability.sweep(
        [outcome(rate) for rate in rates], lambda rate: outcome(rate).is_growing, 1e-3
    )
    assert found.best.rate == pytest.approx(1.0, rel=0.01), "one step to the minimum"
    low, high = found.edge
    assert high / low <= 1.001
    assert low == pytest.approx(2.0, rel=2e-3)
    assert not outcome(low).is_growing
    assert outcome(high).is_growing
    half = found.best.fall / 2.0
    for end in (found.too_small, found.too_large):
        assert outcome(end).fall == pytest.approx(half, rel=0.15)
    assert found.too_small < found.best.rate < found.too_large < low


def test_a_run_that_ends_low_by_chance_above_the_edge_moves_nothing():
    rates = np.geomspace(1e-2, 10.0, 31)
    outcomes = [outcome(rate) for rate in rates]
    expected = stability.sweep(outcomes, lambda rate: outcome(rate).is_growing, 1e-3)
    outcomes[-1] = outcome(0.1)._replace(rate=10.0)
    found = stability.sweep(outcomes, lambda rate: outcome(rate).is_growing, 1e-3)
    assert found.edge == expected.edge
    assert found.best.rate == expected.best.rate


@pytest.mark.parametrize(("low", "high"), [(1e-3, 0.1), (3.0, 9.0)])
def test_a_grid_on_one_side_of_the_edge_has_none(low, high):
    outcomes = [outcome(rate) for rate in np.geomspace(low, high, 9)]
    found = stability.sweep(outcomes, lambda rate: outcome(rate).is_growing, 1e-3)
    assert found.edge is None
    assert found.too_large is None
    assert (found.best is None) == (low > 2.0)


def test_bisection_stops_at_its_tolerance():
    asked = []

    def grows_at(rate):
        asked.append(rate)
        return rate > np.pi

    low, high = stability.bisect(grows_at, 1.0, 10.0, 1e-3)
    assert low <= np.pi < high <= low * 1.001
    assert len(asked) == 12, "2^12 parts of the interval in log are below 1e-3"
