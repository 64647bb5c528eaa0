import io

import numpy as np
import pytest
from PIL import Image

from gradjax.plots import paths
from gradjax.plots.paths import Path
from gradjax.problems import SURFACES

BLUE, VERMILION = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)
BOOTH = SURFACES["booth"]


def straight(end, num_steps=30, **given):
    """A path from (-6, -4) to a point, in equal steps."""
    share = np.linspace(0.0, 1.0, num_steps + 1)[:, None]
    points = (1.0 - share) * [[-6.0, -4.0]] + share * np.array([end], float)
    heights = np.asarray(BOOTH.function(*points.T))
    return Path(points, heights, f"{num_steps} steps", **given)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def count(image, color):
    return (np.abs(image - color).max(axis=-1) <= 8).sum()


def halves(image):
    """The panels, without what is above and below."""
    height, width = image.shape[:2]
    inside = image[height // 10 : 8 * height // 10]
    return inside[:, : width // 2], inside[:, width // 2 :]


@pytest.mark.slow
def test_draws_every_path_in_both_panels():
    drawn = {"one": straight((1.0, 3.0), 300), "two": straight((5.0, -8.0), 200)}
    for panel in halves(pixels(paths.picture("title", BOOTH, drawn))):
        assert count(panel, BLUE) > 300 and count(panel, VERMILION) > 300
    alone = pixels(paths.picture("title", BOOTH, {"one": drawn["one"]}))
    assert count(alone, VERMILION) == 0


def test_a_lost_path_is_drawn_to_the_edge_however_far_it_goes():
    away = np.array([1.0, 0.25])
    near, far = (
        straight((-6.0, -4.0) + length * away, 1, is_lost=True)
        for length in (1e3, 1e150)
    )
    left, other = (
        halves(pixels(paths.picture("title", BOOTH, {"p": one})))[0]
        for one in (near, far)
    )
    assert count(left, BLUE) > 500
    assert (left != other).any(axis=-1).mean() < 1e-3


@pytest.mark.parametrize("num_points", [1, 2])
@pytest.mark.slow
def test_draws_the_shortest_of_paths_and_one_that_is_at_the_minimum(num_points):
    there = np.tile([[1.0, 3.0]], (num_points, 1))
    drawn = {"_$": Path(there, np.zeros(num_points), "there")}
    assert count(pixels(paths.picture("_$ $", BOOTH, drawn)), BLUE) > 50
    assert paths.animation("_$ $", BOOTH, drawn)[:6] == b"GIF89a"


@pytest.mark.slow
def test_the_animation_ends_as_the_picture_and_is_small():
    drawn = {"one": straight((1.0, 3.0), 5_000), "two": straight((5.0, -8.0), 40)}
    data = paths.animation("title", BOOTH, drawn)
    image = Image.open(io.BytesIO(data))
    assert 40 <= image.n_frames <= 100 and len(data) < 1_500_000
    seen = []
    for k in range(image.n_frames):
        image.seek(k)
        panel = halves(np.asarray(image.convert("RGB")).astype(int))[0]
        seen.append((count(panel, BLUE), count(panel, VERMILION)))
    blue, vermilion = np.array(seen).T
    assert blue[-1] > 3 * blue[len(seen) // 2] and vermilion[-1] > 3 * vermilion[0]
    assert vermilion[-1] == pytest.approx(vermilion[len(seen) // 2], rel=0.05)
