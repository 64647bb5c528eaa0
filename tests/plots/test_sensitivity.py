import io

import numpy as np
import pytest
from PIL import Image

from gradjax.plots.sensitivity import Curve, Mark, Notes, Points, sensitivity
from gradjax.types import Series

RATES = np.geomspace(1e-3, 10.0, 25)
LOSSES = np.where(RATES < 2.0, np.exp(-10.0 * RATES), np.inf)
RED, BLUE, GREEN = (0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2), (0x00, 0x9E, 0x73)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def count(image, color):
    return (np.abs(image - color).sum(axis=2) < 12).sum()


def draw(sweeps, notes=None):
    more = () if notes is None else (notes,)
    return pixels(sensitivity("title", sweeps, "learning rate", "loss", *more))


@pytest.mark.slow
def test_marks_what_diverged_and_only_that():
    all_fall = draw({"sgd": Points(RATES, np.exp(-RATES))})
    some_grow = draw({"sgd": Points(RATES, LOSSES)})
    assert count(all_fall, RED) == 0
    assert count(some_grow, RED) > 200


@pytest.mark.slow
def test_a_loss_far_above_the_start_counts_as_diverged():
    losses = np.where(np.isinf(LOSSES), 1e6, LOSSES)
    assert count(draw({"sgd": Points(RATES, losses)}), RED) == 0
    assert count(draw({"sgd": Points(RATES, losses)}, Notes(start=1.0)), RED) > 200


def test_regions_lie_side_by_side_and_curves_have_their_colors():
    steps = np.arange(50)
    curves = [
        Curve(region, region, Series(steps, rate**steps))
        for region, rate in (("too small", 0.99), ("right", 0.7), ("too large", 1.1))
    ]
    marks = [Mark(2.0, "found"), Mark(2.01, "theory", is_theory=True)]
    image = draw({"sgd": Points(RATES, LOSSES)}, Notes(1.0, (0.1, 2.0), marks, curves))
    left, right = np.split(image, [image.shape[1] // 2], axis=1)
    for color in (BLUE, GREEN, RED):
        assert count(right, color) > 100
    tints = [np.round(255 - 0.13 * (255 - np.array(c))) for c in (BLUE, GREEN, RED)]
    columns = [
        np.flatnonzero((np.abs(left - tint).sum(axis=2) < 4).sum(axis=0) > 50)
        for tint in tints
    ]
    assert columns[0].max() < columns[1].min() < columns[1].max() < columns[2].min()


@pytest.mark.parametrize("right", [(0.0, np.inf), (0.0, 0.0)])
def test_a_side_that_is_not_there_is_not_shaded(right):
    image = draw({"sgd": Points(RATES, LOSSES)}, Notes(right=right))
    tint = np.round(255 - 0.13 * (255 - np.array(BLUE)))
    assert (np.abs(image - tint).sum(axis=2) < 4).sum() < 50


@pytest.mark.slow
def test_draws_several_sweeps_of_several_trials_with_a_band():
    trials = LOSSES * np.array([[0.5], [1.0], [2.0]])
    one = draw({"a": Points(RATES, LOSSES)})
    three = draw({"a": Points(RATES, trials), "b": Points(RATES * 2.0, trials)})
    gray = (204, 204, 204)
    assert count(one, gray) < 1000 < count(three, gray)


@pytest.mark.slow
def test_draws_a_sweep_where_all_diverged():
    image = draw({"a": Points(RATES, np.full(25, np.nan))}, Notes(start=2.0))
    assert count(image, RED) > 200
