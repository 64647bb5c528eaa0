"""The largest stable learning rate: in theory on a quadratic, and from measured losses.

On a quadratic with largest curvature L, a descent is a linear map for each mode of
curvature h <= L. The mode is stable while both eigenvalues of its map lie within the
unit circle. The mode L becomes unstable first, with an eigenvalue of -1. With
v' = b v + h x, the momentum as optax computes it:

    sgd        x' = x - r h x                                     r < 2 / L
    momentum   x' = x - r v'                                      r < 2 (1 + b) / L
    nesterov   x' = x - r (h x + b v')              r < 2 (1 + b) / ((1 + 2 b) L)

For nesterov the map has trace 1 + b - r h (1 + b) and determinant b (1 - r h), and
1 + trace + determinant is 0 at the bound.

Source: Polyak 1964, Some Methods of Speeding Up the Convergence of Iteration Methods;
Nesterov's form as in Sutskever et al. 2013, with the bound derived as above.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

GIVEN_BACK = 0.1  # share of the fall in log loss; a larger rise counts as growth
_ROUNDING = 1e-6  # in log loss; a smaller rise is a rounding error


class Edge(NamedTuple):
    """The learning rate above which a descent is unstable, in theory."""

    rate: float
    formula: str


class Outcome(NamedTuple):
    """The result of one learning rate; a height is a loss minus the least possible."""

    rate: float
    heights: np.ndarray  # f64[steps]
    final: float  # the height after the last step; inf: it overflowed
    is_growing: bool

    @property
    def fall(self) -> float:
        """The decrease of the natural logarithm of the height over the run."""
        return float(np.log(self.heights[0]) - np.log(self.final))


class Sweep(NamedTuple):
    """The results of a grid of learning rates; None if the grid shows no such rate."""

    outcomes: Sequence[Outcome]  # one per rate, with increasing rates
    best: Outcome | None  # the one with the lowest final height
    edge: tuple[float, float] | None  # the largest stable rate, the least unstable rate
    too_small: float | None  # at smaller rates the fall is less than half of the best
    too_large: float | None  # at larger rates the same is true, or the loss grows


def edge(curvature: float, momentum: float = 0.0, nesterov: bool = False) -> Edge:
    """Returns the learning rate above which sgd is unstable on a quadratic.

    Args:
      curvature: the largest eigenvalue of the Hessian, above 0.
      momentum: b, in [0, 1).
      nesterov: whether Nesterov's momentum is used, in the form of optax.
    """
    if not momentum:
        return Edge(2.0 / curvature, "2 / (largest curvature)")
    ahead = 1.0 + 2.0 * momentum if nesterov else 1.0
    rate = 2.0 * (1.0 + momentum) / (ahead * curvature)
    under = f"({ahead:g} (largest curvature))" if nesterov else "(largest curvature)"
    return Edge(rate, f"2 (1 + {momentum:g}) / {under}")


def outcome(rate: float, losses: Any, final: Any, level: float) -> Outcome:
    """Returns the result of one run.

    Args:
      rate: the learning rate of the run.
      losses: f[steps]; the eps of their type determines the rounding error.
      final: f[], the loss after the last step.
      level: the least possible loss. Smaller heights are raised to 64 eps |level|, its
        rounding error, plus eps^2 times the first height, which is the height that
        remains if the parameters are correct to eps.
    """
    values = np.asarray(losses)
    every = np.append(values, np.asarray(final, values.dtype)).astype(np.float64)
    above = np.where(np.isfinite(every), every - level, np.inf)
    eps = float(np.finfo(values.dtype).eps)
    first = above[0] if np.isfinite(above[0]) else 1.0
    least = 64.0 * eps * abs(level) + eps**2 * first
    above = np.maximum(above, least if least > 0.0 else np.finfo(np.float64).tiny)
    return Outcome(rate, above[:-1], float(above[-1]), is_growing(above))


def is_growing(heights: np.ndarray) -> bool:
    """Returns whether a loss ends well above its least value.

    It does if, on a log axis, it rises again by more than a tenth of its fall:
    log(e / m) > log(h0 / m) / 10, with the first height h0, the least height m, and the
    mean e over the last twentieth of the run. A loss that overflows grows.

    The least height is that of a single step, because an unstable descent may jump
    between two sides of a valley, one high and one low, which a mean over steps would
    hide. So a loss that oscillates while it falls counts as falling only if its fall
    is much larger than its oscillation.

    Args:
      heights: f[steps], above 0: a loss, or a loss minus its minimum.
    """
    if not np.isfinite(heights).all():
        return True
    first, least = math.log(heights[0]), math.log(heights.min())
    tail = heights[-max(1, len(heights) // 20) :]
    last = math.log((tail / len(tail)).sum())  # because tail.sum() may overflow
    return last - least > GIVEN_BACK * (first - least) + _ROUNDING


def sweep(
    outcomes: Sequence[Outcome], grows_at: Callable[[float], bool], tolerance: float
) -> Sweep:
    """Finds the best rate, the edge of stability above it, and the range of good rates.

    Above the edge a run may end low again by chance: in a network whose units have all
    died, nothing can grow. So the edge is searched from the best rate upwards.

    Args:
      outcomes: one per rate, with increasing rates.
      grows_at: runs another rate and returns whether its loss grows; for bisection.
      tolerance: the relative tolerance of the edge, above 0.
    """
    falling = [k for k, one in enumerate(outcomes) if not one.is_growing]
    if not falling:
        return Sweep(outcomes, None, None, None, None)
    # Among rates with the same final height, the one that reaches it earliest.
    keys = [(one.final, float(np.log(one.heights).mean())) for one in outcomes]
    best = min(falling, key=keys.__getitem__)
    first = best
    while first < len(outcomes) and not outcomes[first].is_growing:
        first += 1
    found = None
    if first < len(outcomes):
        low, high = outcomes[first - 1].rate, outcomes[first].rate
        found = bisect(grows_at, low, high, tolerance)
    too_small = _half_as_far(outcomes[best::-1])
    too_large = _half_as_far(outcomes[best:first]) or (found[0] if found else None)
    return Sweep(outcomes, outcomes[best], found, too_small, too_large)


def bisect(
    grows_at: Callable[[float], bool], low: float, high: float, tolerance: float
) -> tuple[float, float]:
    """Bisects (low, high) on a log axis until high / low <= 1 + tolerance.

    Args:
      grows_at: a function that is false at `low` and true at `high`.
      low: the lower end of the bracket, above 0.
      high: the upper end of the bracket.
      tolerance: the relative tolerance, above 0.
    """
    while high / low > 1.0 + tolerance:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if grows_at(middle) else (middle, high)
    return low, high


def _half_as_far(outcomes: Sequence[Outcome]) -> float | None:
    """Returns the rate with half the fall of the best one; None if there is none.

    The outcomes start at the best one. Between two rates of the grid the fall is
    interpolated linearly over the logarithm of the rate.
    """
    falls = [one.fall for one in outcomes]
    short = [k for k, fall in enumerate(falls) if fall < falls[0] / 2.0]
    if falls[0] <= 0.0 or not short:
        return None
    near, far = outcomes[short[0] - 1], outcomes[short[0]]
    part = (near.fall - falls[0] / 2.0) / (near.fall - far.fall)
    return float(near.rate * (far.rate / near.rate) ** part)
