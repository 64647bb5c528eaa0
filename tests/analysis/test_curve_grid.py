import numpy as np

from gradjax.analysis.curve_grid import on_common_steps
from gradjax.plots.comparison import band_of
from gradjax.types import Series
from gradjax.types.comparisons import Outcome


def _curves(*points):
    return [
        Series(np.array(steps, float), np.array(values, float))
        for steps, values in points
    ]


def _seeds(*points, lost=()):
    return [
        Outcome("p", "lbfgs", "fresh", k, {}, np.nan if k in lost else 0.0, curve)
        for k, curve in enumerate(_curves(*points))
    ]


def test_seeds_with_steps_of_their_own_are_interpolated_and_never_extended():
    """Each curve is a line of its own, so interpolation is exact."""
    own = [([2, 9, 20], [2, 9, 20]), ([0, 11, 23], [1, 12, 24]), ([], [])]
    first, second, empty = on_common_steps(_curves(*own))
    np.testing.assert_allclose(first.values, first.steps)
    np.testing.assert_allclose(second.values, second.steps + 1)
    assert first.steps.min() >= 2 and first.steps.max() <= 20 and not empty.steps.size
    assert {*first.steps} < {*second.steps} == {*np.linspace(0, 23, 3)}


def test_the_median_of_a_line_search_is_over_all_its_seeds():
    steps = [np.linspace(k, 100 + k, 50) for k in range(5)]
    seeds = _seeds(*[(at, at + 10 * k) for k, at in enumerate(steps)])
    band = band_of(seeds, "min")
    np.testing.assert_allclose(band.median, band.steps + 20)
    np.testing.assert_allclose([band.low, band.high - 40], [band.steps, band.steps])
    assert band.steps[0] >= 4 and band.steps[-1] <= 100 and band.steps.size > 40


def test_seeds_of_one_length_are_thinned_together_with_one_that_diverged():
    steps = np.arange(1, 301)
    curves = _curves((steps, steps), (steps[:150], steps[:150]))
    whole, part = on_common_steps(curves, 100)
    assert whole.steps.size == 100 and whole.steps[-1] == 300
    assert {*part.steps} == {*whole.steps[whole.steps <= 150]}


def test_a_lost_seed_is_the_worst_value_of_the_picture():
    at = [1, 2, 3, 4]
    seeds = _seeds((at, at), (at, at), (at[:2], [9, 9]), lost=(2,))
    np.testing.assert_array_equal(band_of(seeds, "min").median, at)
    lost = _seeds((at, at), (at[:2], [0, 0]), (at[:2], [0, 0]), lost=(1, 2))
    np.testing.assert_array_equal(band_of(lost, "min").median, [0, 0, np.nan, np.nan])
    short = _seeds((at, at), (at[:3], at[:3]))
    assert band_of(short, "min").steps[-1] == 3
    assert not band_of(_seeds(([], []), lost=(0,)), "min").steps.size
