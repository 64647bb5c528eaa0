"""Compares a gradient along a short line with the change of the loss over the line.

    loss(x + t d) - loss(x - t d) = integral of gradient . d over the line

This holds for every loss that is continuous, also where its slope jumps, as that of a
network with relu does thousands of times on a short line. So it tells a wrong gradient
from a kink, which a difference quotient at one point cannot.

The integral is the mean of the gradient at the midpoints of n parts of the line. If the
total variation of the slope over the line is V, its error is at most V / 2n. The mean
of midpoints is exact for a part of the slope that is linear along the line, so this
part is first subtracted. V is estimated as the sum of the jumps that remain between
neighbouring midpoints, and V / n is used.

Values of the loss have rounding errors. Their standard deviation is measured as the
scatter of the values at points so close that the loss is a straight line on both sides
of the centre.

Lines of several lengths are possible, and two of small uncertainty are used. The
rounding error alone is a lower bound of the uncertainty of a line, and so is the
variation over some of its midpoints. So the midpoints of a line are computed in stages,
always of the line with the smallest lower bound, until no other line can have less than
half the uncertainty of two complete ones (branch and bound). Where the gradient then
seems to be wrong and V / n is too large to be certain, the parts of two lines whose
rounding error is small enough are divided into three, up to twice.

Biases of 0 often have a kink at the point itself, the centre of the line. Two parts
meet there, so this kink adds no error: slopes close to the centre, on both sides, tell
its jump from the rest of V.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.types import Params

# The places of a line: the midpoints of 144 parts, which include those of 16 and of 48
# parts, and one on either side of the centre.
_NEAR = 2.0**-20  # the distance to the centre, in units of half the line
_PLACES = np.append((2.0 * np.arange(144) + 1.0) / 144 - 1.0, [-_NEAR, _NEAR])
_CENTRE = np.array([144, 145])
# The midpoints of each stage. A line is complete with the third, which has the places
# at the centre as well.
_STAGES = (
    9 * np.arange(2, 16, 4) + 4,
    9 * np.arange(0, 16, 2) + 4,
    9 * np.arange(16) + 4,
    3 * np.arange(48) + 1,
    np.arange(144),
)
_COMPLETE = 3
_AT_ONCE = 2
_ENOUGH = 2.0  # times the smallest possible uncertainty is small enough
_CLOSE_STEP = 2.0**-4  # of the shortest step; between points close together
_SIGMAS = 4.0

Ask = Callable[[float, np.ndarray], tuple[Any, Any]]


class LineCheck(NamedTuple):
    """The slopes along one direction, per unit of length, for the best step."""

    gradient: float  # the mean of the gradient over the line
    difference: float
    uncertainty: float  # of gradient - difference
    is_refuted: bool  # no rounding error and no kink explains the difference


class Lines(NamedTuple):
    """Lines of several lengths along one direction, and how they are compared."""

    steps: np.ndarray  # f64[steps]: half of each length, in units of the direction
    length: float  # of the direction
    eps: float  # the spacing of floats at 1
    tolerance: float  # the largest relative error of a right slope


class _Measured(NamedTuple):
    """Measurements along one direction, for each step t."""

    slopes: np.ndarray  # f64[steps, places]: gradient . (x+ - x-); NaN: not computed
    stages: np.ndarray  # int[steps]: the number of stages that are computed
    sizes: np.ndarray  # f64[steps]: sum |gradient (x+ - x-)|, the scale of its rounding
    noise: float  # the rounding error of a change


def close_steps(steps: np.ndarray) -> np.ndarray:
    """Returns the distances, both ways, at which the rounding error is measured.

    There are as many as `steps`, so that the program is the same.
    """
    return steps[-1] * _CLOSE_STEP * np.arange(len(steps), 0, -1)


def slopes_at(
    value: Callable[..., Any],
    params: Params,
    direction: Params,
    step: jax.Array,
    places: jax.Array,
    *rest: Any,
) -> tuple[jax.Array, jax.Array]:
    """Computes the slope at some places of a line.

    Args:
      value: (params, *rest) -> f[].
      params: a pytree, the centre of the line.
      direction: a pytree of the same structure.
      step: f[], half the length of the line in units of the direction.
      places: f[places], from -1 to 1.
      *rest: further arguments of `value`.

    Returns:
      gradient . (x+ - x-) and sum |gradient (x+ - x-)| at each place, f[places] each.
    """

    def moved(t: jax.Array) -> Params:
        return jax.tree.map(lambda x, d: x + t * d, params, direction)

    # The move is rounded. The difference of its ends is exact.
    move = jax.tree.map(jnp.subtract, moved(step), moved(-step))

    def at(place: jax.Array) -> tuple[jax.Array, jax.Array]:
        grads = jax.grad(value)(moved(step * place), *rest)
        products = jax.tree.leaves(jax.tree.map(jnp.multiply, grads, move))
        sums = jnp.stack([jnp.stack([x.sum(), abs(x).sum()]) for x in products])
        slope, size = sums.sum(axis=0)
        return slope, size

    return jax.lax.map(at, places)


def check_line(
    ask: Ask, lines: Lines, values: np.ndarray, close: np.ndarray
) -> LineCheck | None:
    """Compares the gradient with the loss, with as few gradients as are needed.

    A gradient is refuted only where its error exceeds twice the smallest uncertainty of
    a line, and once the second smallest, with the same sign.

    Args:
      ask: (step, places f[2]) -> what `slopes_at` returns.
      lines: along one direction.
      values: f[2 steps + 1], at +t for each step t, at 0, and at each -t.
      close: the same at the distances of `close_steps`.

    Returns:
      The slopes; None if fewer than two lines have finite values.
    """
    count = len(lines.steps)
    with np.errstate(invalid="ignore"):
        changes = np.asarray(values[:count], np.float64) - values[count + 1 :]
    ordered = np.concatenate(
        [close[:count], close[count : count + 1], close[:count:-1]]
    )
    measured = _Measured(
        np.full((count, len(_PLACES)), np.nan),
        np.zeros(count, int),
        np.zeros(count),
        _SIGMAS * _noise(ordered, lines.eps),
    )
    _search(ask, lines, measured)
    while True:
        found, excess = _compare(lines, measured, changes)
        rounding = measured.noise + 16.0 * lines.eps * measured.sizes
        is_able = 2.0 * rounding < excess * 2.0 * lines.steps * lines.length
        able = np.flatnonzero(is_able)[-2:]  # the shortest have the fewest kinks
        if len(able) < 2 or (measured.stages[able] == len(_STAGES)).all():
            return found
        for k in able:
            stage = min(max(measured.stages[k] + 1, _COMPLETE), len(_STAGES))
            while measured.stages[k] < stage:
                _advance(ask, lines, measured, k)


def _search(ask: Ask, lines: Lines, measured: _Measured) -> None:
    """Computes the lines of small uncertainty, until two are complete."""
    bounds = measured.noise / lines.steps  # of each uncertainty, times 2 length
    while True:
        is_open = np.isfinite(bounds) & (measured.stages < _COMPLETE)
        complete = np.sort(bounds[measured.stages == _COMPLETE])
        if not is_open.any():
            return
        if len(complete) > 1 and complete[1] <= _ENOUGH * min(bounds[is_open]):
            return
        k = int(np.argmin(np.where(is_open, bounds, np.inf)))
        _advance(ask, lines, measured, k)
        bounds[k] = _error(lines, measured, k) / lines.steps[k]


def _advance(ask: Ask, lines: Lines, measured: _Measured, k: int) -> None:
    """Computes the next stage of a line."""
    stage = _STAGES[measured.stages[k]]
    measured.stages[k] += 1
    wanted = np.append(stage, _CENTRE) if measured.stages[k] >= _COMPLETE else stage
    missing = wanted[np.isnan(measured.slopes[k, wanted])]
    for first in range(0, len(missing), _AT_ONCE):
        some = missing[first : first + _AT_ONCE]
        slopes, sizes = ask(lines.steps[k], _PLACES[some])
        measured.slopes[k, some] = np.asarray(slopes)
        size = float(np.max(np.asarray(sizes, np.float64)))
        measured.sizes[k] = np.fmax(measured.sizes[k], size)


def _error(lines: Lines, measured: _Measured, k: int) -> float:
    """Returns the uncertainty of a change from its gradient; inf: it is not finite.

    Of a line that is not complete it is a lower bound, because only some of its places
    are known and the jump at the centre is left out.
    """
    stage = measured.stages[k]
    slopes, centre = measured.slopes[k, _STAGES[stage - 1]], measured.slopes[k, _CENTRE]
    if not np.isfinite(slopes).all():
        return np.inf
    count, half = len(slopes), len(slopes) // 2
    jumps = np.delete(np.diff(slopes), half - 1)
    trend = _trend(jumps)
    jumps = jumps - trend
    if stage >= _COMPLETE:
        if not np.isfinite(centre).all():
            return np.inf
        ends = centre - slopes[half - 1 : half + 1] + np.array([-0.5, 0.5]) * trend
        kink = _NEAR * count * (centre[1] - centre[0])  # it lies in a short part
        jumps = np.append(jumps, [*ends, kink])
    count = max(count, len(_STAGES[_COMPLETE - 1]))
    variation = np.abs(jumps).sum() / count
    rounding = measured.noise + 16.0 * lines.eps * measured.sizes[k]
    return float(variation + rounding)


def _compare(
    lines: Lines, measured: _Measured, changes: np.ndarray
) -> tuple[LineCheck | None, float]:
    """Compares the two complete lines with the smallest uncertainties.

    Returns:
      What they say; and the error beyond the tolerance, if the gradient seems to be
      wrong but is not refuted, else 0.
    """
    units = 2.0 * lines.steps * lines.length
    gradient, uncertainty = np.full((2, len(units)), np.inf)
    for k in np.flatnonzero(measured.stages >= _COMPLETE).tolist():
        slopes = measured.slopes[k, _STAGES[measured.stages[k] - 1]]
        gradient[k] = slopes.mean() / units[k]
        uncertainty[k] = _error(lines, measured, k) / units[k]
    difference = changes / units
    uncertainty[~np.isfinite(gradient + difference)] = np.inf
    chosen = np.argsort(uncertainty, kind="stable")[:2]
    if not np.isfinite(uncertainty[chosen]).all():
        return None, 0.0
    gradient, difference, uncertainty = (
        one[chosen] for one in (gradient, difference, uncertainty)
    )
    errors = gradient - difference
    size = np.maximum(np.abs(gradient), np.abs(difference))
    excess = np.abs(errors) - lines.tolerance * size
    is_alike = bool((excess > 0.0).all() and errors[0] * errors[1] > 0.0)
    is_refuted = is_alike and bool((excess > [2.0, 1.0] * uncertainty).all())
    best = LineCheck(
        float(gradient[0]), float(difference[0]), float(uncertainty[0]), is_refuted
    )
    is_open = is_alike and not is_refuted
    return best, float(excess.min()) if is_open else 0.0


def _trend(jumps: np.ndarray) -> float:
    """Returns the jump of the linear part that leaves the smallest variation."""
    return float(np.median(jumps))


def _noise(close: np.ndarray, eps: float) -> float:
    """Returns the standard deviation of the rounding error of the loss."""
    if not np.isfinite(close).all():
        return np.inf
    t = np.arange(len(close)) - len(close) // 2
    terms = np.stack([np.ones(len(t)), t, np.abs(t)], axis=1)
    values = close - close[0]
    rest = values - terms @ np.linalg.lstsq(terms, values)[0]
    scatter = np.sqrt((rest**2).sum() / (len(t) - terms.shape[1]))
    return max(1.5 * float(scatter), 0.5 * eps * float(np.abs(close).max()))
