"""Two-dimensional surfaces, on which the path of an optimizer can be drawn.

Each surface is a function of x and y, which may be numbers or grids, with the limits
that a picture needs. A surface has no data and no noise, so the gradient is exact.
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
    """A function of two numbers, with its known properties."""

    function: Callable[[Any, Any], Any]  # (x f[...], y f[...]) -> f[...]
    start: tuple[float, float]  # the default initial point
    minimisers: tuple[tuple[float, float], ...]  # all global minimisers in the domain
    minimum: float  # the value at the minimisers
    xlim: tuple[float, float]  # the domain, which a picture shows
    ylim: tuple[float, float]


def rosenbrock(x: Any, y: Any) -> Any:
    """A curved narrow valley: (1 - x)^2 + 100 (y - x^2)^2; minimum 0 at (1, 1).

    Source: Rosenbrock 1960, An Automatic Method for Finding the Greatest or Least
    Value of a Function, with its start (-1.2, 1).
    """
    return (1.0 - x) ** 2 + 100.0 * (y - x**2) ** 2


def beale(x: Any, y: Any) -> Any:
    """A flat surface with steep walls at the corners; minimum 0 at (3, 1/2).

    The function is (1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625 - x + xy^3)^2.

    Source: Beale 1958; the start (1, 1) of More, Garbow and Hillstrom 1981, Testing
    Unconstrained Optimization Software, number 5.
    """
    parts = (1.5, 2.25, 2.625)
    return sum((part - x + x * y ** (k + 1)) ** 2 for k, part in enumerate(parts))


def branin(x: Any, y: Any) -> Any:
    """Three valleys with the same minimum 10 / 8 pi, at x = -pi, pi and 3 pi.

    The function is (y - 5.1 x^2 / 4 pi^2 + 5 x / pi - 6)^2 + 10 (1 - 1 / 8 pi) cos(x)
    + 10. At the minima cos(x) = -1 and the square is 0.

    Source: Branin 1972, with the constants of Dixon and Szego 1978.
    """
    bowl = y - 5.1 / (4.0 * math.pi**2) * x**2 + 5.0 / math.pi * x - 6.0
    return bowl**2 + 10.0 * (1.0 - 1.0 / (8.0 * math.pi)) * jnp.cos(x) + 10.0


def himmelblau(x: Any, y: Any) -> Any:
    """Four minima with value 0: (x^2 + y - 11)^2 + (x + y^2 - 7)^2.

    The minimiser (3, 2) is exact; the other three are common roots of the two brackets,
    rounded to float64.

    Source: Himmelblau 1972, Applied Nonlinear Programming.
    """
    return (x**2 + y - 11.0) ** 2 + (x + y**2 - 7.0) ** 2


def booth(x: Any, y: Any) -> Any:
    """A rotated quadratic: (x + 2y - 7)^2 + (2x + y - 5)^2; minimum 0 at (1, 3).

    Its Hessian [[10, 8], [8, 10]] has the eigenvalues 2 and 18.
    """
    return (x + 2.0 * y - 7.0) ** 2 + (2.0 * x + y - 5.0) ** 2


def rastrigin(x: Any, y: Any) -> Any:
    """A bowl with waves: 20 + x^2 + y^2 - 10 cos(2 pi x) - 10 cos(2 pi y).

    It has many local minima; the global minimum is 0 at 0.

    Source: Rastrigin 1974.
    """
    waves = jnp.cos(2.0 * math.pi * x) + jnp.cos(2.0 * math.pi * y)
    return 20.0 + x**2 + y**2 - 10.0 * waves


def saddle(x: Any, y: Any) -> Any:
    """A saddle at 0 between two minima with value -1/4: x^2/2 + y^4/4 - y^2/2.

    The minima are at (0, -1) and (0, 1). Gradient descent from (1, 0) ends at the
    saddle; the default start is (1, 0.01).

    Source: Nesterov 2004, Introductory Lectures on Convex Optimization, 1.2.3.
    """
    return 0.5 * x**2 + 0.25 * y**4 - 0.5 * y**2


def plateau(x: Any, y: Any) -> Any:
    """A plateau around a pit: r^2 / (1 + r^2) with r^2 = x^2 + y^2; minimum 0 at 0.

    The slope 2 r / (1 + r^2)^2 has its maximum 0.65 at r = 0.58 and decays as 2 / r^3.

    Source: the robust loss of Geman and McClure 1985.
    """
    squared = x**2 + y**2
    return squared / (1.0 + squared)


def styblinski_tang(x: Any, y: Any) -> Any:
    """Four minima, one of them global: 1/2 sum over z in (x, y) of z^4 - 16 z^2 + 5 z.

    Each term has its minimum -39.166 at the smallest root of 4 z^3 - 32 z + 5.

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
    """Makes a function (start, noise) -> Problem over f[2] for the registry."""

    def make(start: tuple[float, float] = surface.start, noise: float = 0.0) -> Problem:
        """Makes the problem, with initial point `start` plus `noise` * N(0, 1).

        Raises:
            Refusal: start does not consist of two numbers, or noise is out of range.
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
