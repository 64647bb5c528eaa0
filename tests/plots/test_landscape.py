import io

import numpy as np
import pytest
from PIL import Image

from gradjax.plots.landscape import Line, line, plane

RED, STAR, BEIGE = (0xD5, 0x5E, 0x00), (0xF0, 0xE4, 0x42), (0xE8, 0xD9, 0xC5)
AXIS = np.linspace(-2.0, 2.0, 21)
BOWL = 0.01 + AXIS[None] ** 2 + 2.0 * AXIS[:, None] ** 2
PATH = np.asarray([[1.5, 1.5], [1.0, 0.4], [0.0, 0.0]])


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def where(image, color):
    return np.argwhere(np.abs(image - color).sum(axis=2) < 24)


def test_a_path_goes_from_its_first_point_to_the_star():
    image = pixels(plane("bowl", (AXIS, AXIS), BOWL, PATH))
    upper = image[: int(0.85 * len(image))]  # without the legend
    path, star = where(upper, RED), where(upper, STAR)
    assert len(path) > 200 and len(star) > 50
    assert path[:, 0].min() < star[:, 0].min(), "rows count from above"
    assert path[:, 1].max() > star[:, 1].max()
    bare = pixels(plane("bowl", (AXIS, AXIS), BOWL))
    assert not len(where(bare, RED)) and not len(where(bare, STAR))


def test_the_bottom_is_paler_than_the_walls():
    image = pixels(plane("bowl", (AXIS, AXIS), BOWL)).sum(axis=2)
    rows, columns = image.shape
    middle = image[int(0.47 * rows) : int(0.53 * rows), int(0.4 * columns)]
    corner = image[int(0.12 * rows) : int(0.18 * rows), int(0.15 * columns)]
    assert np.median(middle) > np.median(corner) + 60


def test_losses_that_are_not_finite_are_an_area_of_their_own():
    holes = BOWL.copy()
    holes[:5] = np.nan
    holes[:, :5] = np.inf
    area = len(where(pixels(plane("holes", (AXIS, AXIS), holes)), BEIGE))
    assert area > 20_000
    assert not len(where(pixels(plane("bowl", (AXIS, AXIS), BOWL)), BEIGE))
    everywhere = pixels(plane("holes", (AXIS, AXIS), np.full_like(BOWL, np.nan)))
    assert len(where(everywhere, BEIGE)) > area


@pytest.mark.parametrize("value", [0.0, -3.0, 5.0])
def test_a_surface_of_one_value_is_drawn(value):
    assert pixels(plane("flat", (AXIS, 9.0 * AXIS), np.full_like(BOWL, value))).size


def test_a_barrier_is_an_arrow_with_its_height():
    positions = np.linspace(0.0, 1.0, 11)
    losses = 1.0 + np.sin(np.pi * positions)
    bare = pixels(line("$_", {"_a": Line(positions, losses)}))
    with_barrier = pixels(line("$_", {"_a": Line(positions, losses, (0.5, 1.0))}))
    blue = (0x00, 0x72, 0xB2)
    assert len(where(with_barrier, blue)) > len(where(bare, blue)) + 300


def test_lines_with_gaps_and_decades_are_drawn():
    losses = np.geomspace(1e-6, 1e6, 21)
    losses[3] = np.nan
    lines = {f"direction {k}": Line(AXIS, losses * (k + 1)) for k in range(9)}
    image = pixels(line("random directions", lines))
    assert len(where(image, RED)) > 200
