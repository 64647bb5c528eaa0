import io

import numpy as np
from PIL import Image

from gradjax.plots.edge_of_stability import Trained, edge_of_stability
from gradjax.types import Series

BLUE, GREEN = (0x00, 0x72, 0xB2), (0x00, 0x9E, 0x73)


def trained(rates, threshold=2.0, end=None):
    """Trials whose sharpness rises to the edge; the last one ends early, if asked."""
    steps, measured = np.arange(1, 101), np.arange(1, 101, 10)
    losses = np.tile(1.0 / steps, (len(rates), 1))
    rise = np.minimum(measured / 50.0, 1.0)
    sharpness = threshold / np.array(rates)[:, None] * rise
    if end is not None:
        losses[-1, end:], sharpness[-1, end // 10 :] = np.nan, np.nan
    curves = Series(steps, losses), Series(measured, sharpness)
    return Trained("an_optimizer", "sharpness", rates, threshold, *curves)


def halves(png):
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    return np.split(image[:, : image.shape[1] // 2 * 2], 2, axis=1)


def count(image, color):
    return (np.abs(image - color).sum(axis=2) < 12).sum()


def test_every_optimizer_has_a_column_and_every_rate_a_colour():
    drawn = [trained((0.2, 0.4)), trained((0.002,), 38.0)]
    left, right = halves(edge_of_stability("title", drawn))
    assert count(left, BLUE) > 500
    assert count(left, GREEN) > 500
    assert count(right, BLUE) > 500
    assert count(right, GREEN) == 0


def test_seeds_of_one_rate_have_one_colour():
    (left, _) = halves(edge_of_stability("title", [trained((0.2, 0.2))]))
    assert count(left, BLUE) > 300
    assert count(left, GREEN) == 0


def test_a_trial_that_diverged_is_drawn_until_its_end():
    whole = halves(edge_of_stability("title", [trained((0.2, 0.4))]))
    cut = halves(edge_of_stability("title", [trained((0.2, 0.4), end=40)]))
    assert sum(count(x, GREEN) for x in cut) < sum(count(x, GREEN) for x in whole)


def test_a_measurement_far_above_the_edge_does_not_change_the_axis():
    usual = trained((0.002,), 38.0)
    high = usual.sharpness.values.copy()
    high[0, 0] = 1e6
    high = usual._replace(sharpness=Series(usual.sharpness.steps, high))
    usual.sharpness.values[0, 0] = np.nan
    assert edge_of_stability("t", [high]) == edge_of_stability("t", [usual])
