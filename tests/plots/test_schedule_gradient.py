import io

import numpy as np
from PIL import Image

from gradjax.plots.schedule_gradient import schedule_gradient
from gradjax.types import Series

BLUE, GREEN, RED = (0x00, 0x72, 0xB2), (0x00, 0x9E, 0x73), (0xD5, 0x5E, 0x00)
STEPS = np.linspace(0.0, 100.0, 16)
RATES = {
    "constant": Series(STEPS, np.full(16, 0.2)),
    "learned": Series(STEPS, np.linspace(0.8, 0.0, 16)),
}
DESCENT = Series(np.arange(21), np.exp(-np.arange(21) / 5.0) + np.ones((3, 1)))
FRESH = {"constant": np.linspace(1.9, 2.1, 12), "learned": np.linspace(0.9, 1.1, 12)}


def draw(rates=RATES, descent=DESCENT, fresh=FRESH):
    png = schedule_gradient("100 steps", rates, descent, fresh, "validation loss")
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def panels(image):
    """The three panels: 5, 4 and 4 thirteenths of the width, about."""
    width = image.shape[1]
    return np.split(image, [int(0.38 * width), int(0.69 * width)], axis=1)


def rows(image, color):
    return np.flatnonzero((np.abs(image - color).sum(axis=2) < 12).any(axis=1))


def count(image, color):
    return (np.abs(image - color).sum(axis=2) < 12).sum()


def test_the_learned_one_has_its_color_in_every_panel():
    left, middle, right = panels(draw())
    assert all(count(panel, RED) > 300 for panel in (left, middle, right))
    assert count(left, BLUE) > 100 and count(right, BLUE) > 100
    assert count(middle, BLUE) == 0


def test_a_lower_loss_is_drawn_lower():
    right = panels(draw())[2]
    assert rows(right, BLUE).max() < rows(right, RED).min()
    swapped = panels(
        draw(fresh=dict(zip(FRESH, [*FRESH.values()][::-1], strict=True)))
    )[2]
    assert rows(swapped, RED).max() < rows(swapped, BLUE).min()


def test_a_third_schedule_has_a_third_color():
    between = {"cosine": Series(STEPS, np.linspace(0.5, 0.0, 16))}
    rates = {"constant": RATES["constant"], **between, "learned": RATES["learned"]}
    fresh = {"constant": FRESH["constant"], "cosine": np.full(12, 1.5)}
    image = draw(rates, fresh=fresh | {"learned": FRESH["learned"]})
    left, _, right = panels(image)
    assert count(left, GREEN) > 100 and count(right, GREEN) > 100
    assert count(draw(), GREEN) == 0


def test_draws_one_seed_one_step_and_a_run_that_diverged():
    fresh = {**FRESH, "constant": np.where(np.arange(12) == 3, np.nan, 2.0)}
    image = draw(descent=Series(np.arange(2), np.ones((1, 2))), fresh=fresh)
    assert count(panels(image)[1], RED) > 100
