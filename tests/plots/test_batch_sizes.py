import io

import numpy as np
import pytest
from PIL import Image

from gradjax.plots.batch_sizes import Trained, batch_sizes, over_epochs, over_windows
from gradjax.types import Series

BLUE, RED = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)


def trained(epoch_steps, num_epochs=4, num_trials=1, held_out=True):
    steps = np.arange(1, epoch_steps * num_epochs + 1)
    rng = np.random.default_rng(0)
    noise = 1.0 + 2.0 * rng.random((num_trials, len(steps)))
    epochs = np.arange(1, num_epochs + 1)
    losses = Series(epochs * epoch_steps, np.tile(1.0 / epochs, (num_trials, 1)))
    return Trained(
        Series(steps, noise / steps),
        losses if held_out else None,
        64 // epoch_steps,
        epoch_steps,
        1e-4,
        epoch_steps == 1,
    )


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def panels(image):
    """The four, without the legend below them."""
    height, width = int(0.86 * image.shape[0]) // 2, image.shape[1] // 2
    return [
        image[row * height : (row + 1) * height, column * width : (column + 1) * width]
        for row in (0, 1)
        for column in (0, 1)
    ]


def count(image, color):
    return (np.abs(image - color).sum(axis=2) < 12).sum()


@pytest.fixture(scope="module")
def alone():
    return pixels(batch_sizes("title", {"4": trained(16)}))


def test_every_panel_has_every_batch_size():
    image = pixels(batch_sizes("title", {"4": trained(16), "all 64": trained(1)}))
    for panel in panels(image):
        for color in (BLUE, RED):
            assert count(panel, color) > 50


@pytest.mark.slow
def test_without_a_validation_split_there_is_one_line_less(alone):
    without = pixels(batch_sizes("title", {"4": trained(16, held_out=False)}))
    lines = [count(panels(image)[0], BLUE) for image in (alone, without)]
    assert lines[0] > 1.2 * lines[1]


@pytest.mark.slow
def test_several_trials_have_a_band(alone):
    band = tuple(np.round(255 - 0.2 * (255 - np.array(BLUE))))
    three = pixels(batch_sizes("title", {"4": trained(16, num_trials=3)}))
    assert count(alone, band) < 5_000 < count(three, band)


@pytest.mark.parametrize("value", [np.inf, 1e30])
@pytest.mark.slow
def test_draws_a_batch_size_that_diverged_beside_one_that_did_not(value, alone):
    fine, other = trained(16), trained(16)
    other.loss.values[:] *= 1.5
    other.loss.values[:, 20:] = value
    image = pixels(batch_sizes("title", {"4": fine, "other": other}))
    assert count(panels(image)[1], BLUE) > 0.5 * count(panels(alone)[1], BLUE)


@pytest.mark.slow
def test_draws_a_run_of_one_step():
    assert pixels(batch_sizes("title", {"all": trained(1, num_epochs=1)})).std() > 0


def test_an_epochs_mean_stands_at_its_middle():
    series = Series(np.arange(1, 7), np.array([[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]]))
    found = over_epochs(series, 3)
    np.testing.assert_allclose(found.values, [[2.0, 20.0]])
    np.testing.assert_allclose(found.steps, [1 / 3, 4 / 3])
    full = over_epochs(series, 1)
    np.testing.assert_allclose(full.steps, np.arange(6)), "before each step"


def test_windows_grow_and_keep_every_step_once():
    values = np.random.default_rng(1).random((2, 1000))
    found = over_windows(Series(np.arange(1, 1001), values))
    count = found.values.shape[1]
    assert count < 80
    np.testing.assert_allclose(found.values[:, :20], values[:, :20])
    straight = over_windows(Series(np.arange(1, 1001), np.arange(1.0, 1001.0)))
    np.testing.assert_allclose(straight.values[0], straight.steps)
