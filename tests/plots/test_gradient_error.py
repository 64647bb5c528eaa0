import io

import jax
import numpy as np
import pytest
from PIL import Image

from gradjax.derivatives import differences
from gradjax.plots.gradient_error import Field, gradient_error
from gradjax.problems import SURFACES

COLORS = {"float32": (0xD5, 0x5E, 0x00), "float64": (0x00, 0x72, 0xB2)}
STEPS = np.geomspace(1e-12, 1.0, 200)


def pixels(name, point, dtypes):
    surface = SURFACES[name]

    def loss(params):
        return surface.function(params[0], params[1])

    with jax.enable_x64(True):
        line = differences.line(loss, point, (0.6, -0.8), STEPS)
        quotients = [differences.quotients(line, dtype) for dtype in dtypes]
    points = np.asarray([surface.start, (0.5, 0.5)])
    field = Field(surface, points, -points, line.point, line.direction)
    png = gradient_error("title", line, quotients, field)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def count(part, color):
    return (np.abs(part - color).sum(axis=2) < 12).sum()


@pytest.mark.slow
def test_draws_a_curve_of_every_precision_beside_the_surface():
    both = pixels("rosenbrock", (-1.2, 1.0), (np.float64, np.float32))
    half = both.shape[1] // 2
    assert both.shape[1] > 1.8 * both.shape[0]
    for color in COLORS.values():
        assert count(both[:, :half], color) > 800
    green = (0x00, 0x9E, 0x73)
    assert count(both[:, half:], green) > 100 and count(both[:, :half], green) == 0
    one = pixels("rosenbrock", (-1.2, 1.0), (np.float64,))
    assert count(one[:, :half], COLORS["float32"]) == 0


@pytest.mark.parametrize(
    ("name", "point"),
    [("booth", (-6.0, -4.0)), ("styblinski_tang", (0.0, 0.0)), ("saddle", (0.0, 0.0))],
)
@pytest.mark.slow
def test_draws_errors_of_0(name, point):
    """Where the curve or rounding adds nothing, the layout stays whole."""
    drawn = pixels(name, point, (np.float64, np.float32))
    legend = drawn[-60:, : drawn.shape[1] // 2]
    assert count(legend, (0, 0, 0)) > 100
