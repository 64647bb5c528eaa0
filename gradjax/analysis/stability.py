"""How large a learning rate may be: in theory on a quadratic, and by its losses.

On a quadratic of largest curvature L every mode h <= L of a descent is a linear map.
It is stable while both of its eigenvalues lie within the unit circle, and the mode L
leaves it first, at -1. With v' = b v + h x, the momentum that optax keeps:

    sgd        x' = x - r h x                                     r < 2 / L
    momentum   x' = x - r v'                                      r < 2 (1 + b) / L
    nesterov   x' = x - r (h x + b v')              r < 2 (1 + b) / ((1 + 2 b) L)

For nesterov the map has trace 1 + b - r h (1 + b) and determinant b (1 - r h), and
1 + trace + determinant is 0 at the bound.

Source: Polyak 1964, Some Methods of Speeding Up the Convergence of Iteration Methods;
Nesterov's form as in Sutskever et al. 2013, worked out as above.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

GIVEN_BACK = 0.1  # of a fall: from here on a loss counts as growing
_ROUNDING = 1e-6  # of a log: a loss that stands still does not grow


class Edge(NamedTuple):
    """The learning rate from which on a descent grows, in theory."""

    rate: float
    formula: str


class Outcome(NamedTuple):
    """What one learning rate led to; heights are losses above the least there is."""

    rate: float
    heights: np.ndarray  # f64[steps]
    final: float  # the height after the last step; inf: it overflowed
    is_growing: bool

    @property
    def fall(self) -> float:
        """From the start to the end, in powers of e."""
        return float(np.log(self.heights[0]) - np.log(self.final))


class Sweep(NamedTuple):
    """What learning rates on a grid led to; None: there is none on this grid."""

    outcomes: Sequence[Outcome]  # one a rate, rising
    best: Outcome | None  # the one that ends lowest
    edge: tuple[float, float] | None  # the largest rate that falls, the next that grows
    too_small: float | None  # below it a loss falls less than half as far as the best
    too_large: float | None  # above it likewise, or it grows


def edge(curvature: float, momentum: float = 0.0, nesterov: bool = False) -> Edge:
    """The learning rate from which on sgd grows on a quadratic.

    Args:
      curvature: the largest eigenvalue of the Hessian, above 0.
      momentum: b, in [0, 1).
      nesterov: whether the step looks ahead, as optax's does.
    """
    if not momentum:
        return Edge(2.0 / curvature, "2 / (largest curvature)")
    ahead = 1.0 + 2.0 * momentum if nesterov else 1.0
    rate = 2.0 * (1.0 + momentum) / (ahead * curvature)
    under = f"({ahead:g} (largest curvature))" if nesterov else "(largest curvature)"
    return Edge(rate, f"2 (1 + {momentum:g}) / {under}")


def outcome(rate: float, losses: Any, final: Any, level: float) -> Outcome:
    """What one run shows of its rate.

    Args:
      rate: of the run.
      losses: f[steps]; their precision says what rounding is.
      final: f[], after the last step.
      level: the least loss there is. No height is below its rounding, or below eps^2
        of the first: what is left where parameters are right to eps.
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
    """Whether a loss ends well above the least that it had passed.

    It does where, on a log axis, it gives back over a tenth of its fall: with the first
    height h0, the least m and e, the mean over the last twentieth of the run,
    log(e / m) > log(h0 / m) / 10. A loss that overflows grows.

    The least is that of a single step: above its edge a descent may hop between two
    sides of a valley, high and low in turn, and a mean over steps would hide that. So a
    loss that oscillates as it falls must have fallen by far more than it oscillates.

    Args:
      heights: f[steps], above 0: of a loss, or of a loss above its minimum.
    """
    if not np.isfinite(heights).all():
        return True
    first, least = math.log(heights[0]), math.log(heights.min())
    tail = heights[-max(1, len(heights) // 20) :]
    last = math.log((tail / len(tail)).sum())  # the sum of large ones may overflow
    return last - least > GIVEN_BACK * (first - least) + _ROUNDING


def sweep(
    outcomes: Sequence[Outcome], grows_at: Callable[[float], bool], tolerance: float
) -> Sweep:
    """The best rate, the edge above it, and the ends of what is right.

    Above the edge a run may end low again by chance: a network whose units all died has
    nothing left that could grow. So the edge is sought from the best rate upwards.

    Args:
      outcomes: one a rate, rising.
      grows_at: runs another rate, to narrow the edge by bisection.
      tolerance: of the edge, relative, above 0.
    """
    falling = [k for k, one in enumerate(outcomes) if not one.is_growing]
    if not falling:
        return Sweep(outcomes, None, None, None, None)
    # Of rates that all arrive, within rounding, the one that arrives first.
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
    """Narrows (low, high) by halves, on a log axis, to high / low <= 1 + tolerance.

    Args:
      grows_at: false at `low` and true at `high`, both above 0.
      low: of the bracket.
      high: of the bracket.
      tolerance: relative, above 0.
    """
    while high / low > 1.0 + tolerance:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if grows_at(middle) else (middle, high)
    return low, high


def _half_as_far(outcomes: Sequence[Outcome]) -> float | None:
    """The rate, going away from the best, from which on a loss falls less than half.

    Between two rates of the grid the fall is taken as linear over a log axis.
    """
    falls = [one.fall for one in outcomes]
    short = [k for k, fall in enumerate(falls) if fall < falls[0] / 2.0]
    if falls[0] <= 0.0 or not short:
        return None
    near, far = outcomes[short[0] - 1], outcomes[short[0]]
    part = (near.fall - falls[0] / 2.0) / (near.fall - far.fall)
    return float(near.rate * (far.rate / near.rate) ** part)
