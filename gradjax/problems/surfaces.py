"""Two-dimensional surfaces: what an optimizer does on them fits in one picture.

Each is a function of x and y, numbers or grids alike, and everything a picture of it
needs. A surface has no data and no noise: the gradient is exact.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.problems import arguments
from gradjax.types import Key, Minimum, Params, Problem


class Surface(NamedTuple):
    """A function of two numbers, with what is known of it."""

    function: Callable[[Any, Any], Any]  # (x f[...], y f[...]) -> f[...]
    start: tuple[float, float]  # where a run begins
    minimisers: tuple[tuple[float, float], ...]  # every one in the domain
    minimum: float  # the value there
    xlim: tuple[float, float]  # the domain: what a picture shows
    ylim: tuple[float, float]


def rosenbrock(x: Any, y: Any) -> Any:
    """A curved narrow valley: (1 - x)^2 + 100 (y - x^2)^2; 0 at (1, 1).

    Source: Rosenbrock 1960, An Automatic Method for Finding the Greatest or Least
    Value of a Function; its start (-1.2, 1).
    """
    return (1.0 - x) ** 2 + 100.0 * (y - x**2) ** 2


def beale(x: Any, y: Any) -> Any:
    """Flat, with a steep wall at the corners; 0 at (3, 1/2).

    (1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625 - x + xy^3)^2.

    Source: Beale 1958; the start (1, 1) of More, Garbow and Hillstrom 1981, Testing
    Unconstrained Optimization Software, number 5.
    """
    parts = (1.5, 2.25, 2.625)
    return sum((part - x + x * y ** (k + 1)) ** 2 for k, part in enumerate(parts))


def branin(x: Any, y: Any) -> Any:
    """Three valleys of one depth, 10 / 8 pi, at x = -pi, pi and 3 pi.

    (y - 5.1 x^2 / 4 pi^2 + 5 x / pi - 6)^2 + 10 (1 - 1 / 8 pi) cos(x) + 10.

    Source: Branin 1972, with the constants of Dixon and Szego 1978. Both terms are
    least at once, where cos(x) = -1 and the square is 0.
    """
    bowl = y - 5.1 / (4.0 * math.pi**2) * x**2 + 5.0 / math.pi * x - 6.0
    return bowl**2 + 10.0 * (1.0 - 1.0 / (8.0 * math.pi)) * jnp.cos(x) + 10.0


def himmelblau(x: Any, y: Any) -> Any:
    """Four minima of value 0: (x^2 + y - 11)^2 + (x + y^2 - 7)^2.

    Source: Himmelblau 1972, Applied Nonlinear Programming. (3, 2) is exact, the other
    three are roots of the two brackets, rounded to float64.
    """
    return (x**2 + y - 11.0) ** 2 + (x + y**2 - 7.0) ** 2


def booth(x: Any, y: Any) -> Any:
    """A quadratic bowl askew: (x + 2y - 7)^2 + (2x + y - 5)^2; 0 at (1, 3).

    Its Hessian [[10, 8], [8, 10]] has the eigenvalues 2 and 18.
    """
    return (x + 2.0 * y - 7.0) ** 2 + (2.0 * x + y - 5.0) ** 2


def rastrigin(x: Any, y: Any) -> Any:
    """An egg box in a bowl: 20 + x^2 + y^2 - 10 cos(2 pi x) - 10 cos(2 pi y).

    The least of its many minima is 0 at 0.

    Source: Rastrigin 1974.
    """
    waves = jnp.cos(2.0 * math.pi * x) + jnp.cos(2.0 * math.pi * y)
    return 20.0 + x**2 + y**2 - 10.0 * waves


def saddle(x: Any, y: Any) -> Any:
    """A saddle at 0 between two minima of value -1/4: x^2/2 + y^4/4 - y^2/2.

    Gradient descent from (1, 0) ends at the saddle; the start is just off that line,
    and the minima are at (0, -1) and (0, 1).

    Source: Nesterov 2004, Introductory Lectures on Convex Optimization, 1.2.3.
    """
    return 0.5 * x**2 + 0.25 * y**4 - 0.5 * y**2


def plateau(x: Any, y: Any) -> Any:
    """Nearly flat away from a pit: r^2 / (1 + r^2) with r^2 = x^2 + y^2; 0 at 0.

    The slope 2 r / (1 + r^2)^2 is largest, 0.65, at r = 0.58 and dies as 2 / r^3.

    Source: the robust loss of Geman and McClure 1985.
    """
    squared = x**2 + y**2
    return squared / (1.0 + squared)


def styblinski_tang(x: Any, y: Any) -> Any:
    """Four minima, one the deepest: half of x^4 - 16 x^2 + 5 x, plus the same of y.

    Each half is least, -39.166, at the lowest root of 4 x^3 - 32 x + 5.

    Source: Styblinski and Tang 1990.
    """
    return 0.5 * sum(z**4 - 16.0 * z**2 + 5.0 * z for z in (x, y))


_SQUARE = (-5.0, 5.0)

SURFACES: dict[str, Surface] = {
    "beale": Surface(beale, (1.0, 1.0), ((3.0, 0.5),), 0.0, (-4.5, 4.5), (-4.5, 4.5)),
    "booth": Surface(
        booth, (-6.0, -4.0), ((1.0, 3.0),), 0.0, (-10.0, 10.0), (-10.0, 10.0)
    ),
    "branin": Surface(
        branin,
        (2.5, 7.5),
        ((-math.pi, 12.275), (math.pi, 2.275), (3.0 * math.pi, 2.475)),
        10.0 / (8.0 * math.pi),
        (-5.0, 10.0),
        (0.0, 15.0),
    ),
    "himmelblau": Surface(
        himmelblau,
        (0.0, 0.0),
        (
            (3.0, 2.0),
            (-2.805118086952745, 3.131312518250573),
            (-3.779310253377747, -3.283185991286169),
            (3.584428340330492, -1.848126526964404),
        ),
        0.0,
        _SQUARE,
        _SQUARE,
    ),
    "plateau": Surface(plateau, (4.0, 3.0), ((0.0, 0.0),), 0.0, _SQUARE, _SQUARE),
    "rastrigin": Surface(
        rastrigin, (3.4, -2.3), ((0.0, 0.0),), 0.0, (-5.12, 5.12), (-5.12, 5.12)
    ),
    "rosenbrock": Surface(
        rosenbrock, (-1.2, 1.0), ((1.0, 1.0),), 0.0, (-2.0, 2.0), (-1.0, 3.0)
    ),
    "saddle": Surface(
        saddle, (1.0, 0.01), ((0.0, 1.0), (0.0, -1.0)), -0.25, (-2.0, 2.0), (-2.0, 2.0)
    ),
    "styblinski_tang": Surface(
        styblinski_tang,
        (0.0, 0.0),
        ((-2.9035340277711771, -2.9035340277711771),),
        -78.332331407542832,
        _SQUARE,
        _SQUARE,
    ),
}


def factory(surface: Surface) -> Callable[..., Problem]:
    """A function (start, noise) -> Problem over f[2], as the registry holds it."""

    def make(start: tuple[float, float] = surface.start, noise: float = 0.0) -> Problem:
        """Minimises the surface, from `start` plus `noise` times a normal number.

        Raises:
            Refusal: a start that is not two numbers, or a noise that is negative.
        """
        begin = np.asarray(arguments.point("start", start))
        spread = arguments.number("noise", noise, 0.0, 1e6)

        def init(key: Key) -> Params:
            origin = jnp.asarray(begin, float)
            return origin + spread * jax.random.normal(key, (2,), origin.dtype)

        def loss(params: Params, _batch: Any, _key: Any) -> Any:
            return surface.function(params[0], params[1]), {}

        return Problem(init, loss, minimum=_minimum(surface))

    make.__doc__ = f"{inspect.getdoc(surface.function)}\n\n{inspect.getdoc(make)}"
    return make


def _minimum(surface: Surface) -> Minimum:
    return Minimum(tuple(map(np.asarray, surface.minimisers)), surface.minimum)
