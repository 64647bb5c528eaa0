import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from gradjax.plots.surface import draw_arrows, draw_contours
from gradjax.problems import SURFACES

STAR = (0xF0, 0xE4, 0x42)


def drawn(surface, minimisers):
    figure = Figure(figsize=(16, 16), dpi=50)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    draw_contours(axes, surface.function, surface.xlim, surface.ylim, minimisers)
    axes.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB")).astype(int)


def lightness_at(pixels, surface, point):
    """Of the lightest of 3x3 pixels around a point: not of a line through it."""
    limits = np.asarray([surface.xlim, surface.ylim])
    parts = (np.asarray(point) - limits[:, 0]) / (limits[:, 1] - limits[:, 0])
    column, row = np.rint(parts * [799, -799] + [0, 799]).astype(int)
    part = pixels[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    return part.mean(axis=2).max()


@pytest.mark.parametrize("name", SURFACES)
def test_the_bottom_is_paler_than_a_corner_on_every_surface(name):
    surface = SURFACES[name]
    pixels = drawn(surface, ())
    corner = lightness_at(pixels, surface, (surface.xlim[0], surface.ylim[0]))
    for minimiser in surface.minimisers:
        assert lightness_at(pixels, surface, minimiser) > corner + 30


def test_a_star_is_at_every_minimiser():
    surface = SURFACES["himmelblau"]
    pixels = drawn(surface, surface.minimisers)
    is_star = np.abs(pixels - STAR).sum(axis=2) < 30
    bare = np.abs(drawn(surface, ()) - STAR).sum(axis=2) < 30
    assert not bare.any()
    upper, lower = np.split(is_star, 2)
    for quarter in (*np.split(upper, 2, axis=1), *np.split(lower, 2, axis=1)):
        assert quarter.sum() > 5


def test_a_function_of_one_value_is_drawn():
    axes = Figure().subplots()
    draw_contours(axes, lambda x, y: 0.0 * x * y - 3.0, (0.0, 1.0), (0.0, 1.0))
    assert axes.get_aspect() == 1.0


def test_arrows_have_one_length_and_the_color_of_the_vector():
    figure = Figure()
    axes = figure.subplots()
    points = np.asarray([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    vectors = np.asarray([[3.0, 4.0], [0.0, 0.0], [0.0, -1e-9], [500.0, 0.0]])
    draw_arrows(axes, points, vectors)
    (arrows,) = axes.collections
    drawn = np.stack([arrows.U, arrows.V], axis=1)
    np.testing.assert_allclose(drawn, [[0.6, 0.8], [0.0, -1.0], [1.0, 0.0]])
    np.testing.assert_allclose(arrows.XY, points[[0, 2, 3]])
    np.testing.assert_allclose(arrows.get_array(), [5.0, 1e-9, 500.0])
    assert arrows.norm.vmin == pytest.approx(0.05), "four decades below the longest"
    assert arrows.norm.vmax == 500.0


def test_vectors_of_length_0_are_no_arrows():
    figure = Figure()
    axes = figure.subplots()
    draw_arrows(axes, np.zeros((3, 2)), np.zeros((3, 2)))
    assert not axes.collections
