"""The check of the gradient of one leaf, from slopes along directions in the leaf."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gradjax.derivatives import integrals
from gradjax.derivatives.slopes import (
    FACTORS,
    Slope,
    directions,
    in_leaf,
    place,
    slope_of,
    steepest,
)
from gradjax.types import Params

_CLOSE = 0.1  # a gradient with a larger relative error is never called right


class LeafCheck(NamedTuple):
    """The result of the check for one leaf."""

    name: str  # the path of the leaf, such as params['w']
    shape: tuple[int, ...]
    max_error: float  # the largest |gradient - difference|, along a unit direction
    max_relative_error: float  # max_error / the largest slope of the leaf
    is_right: bool
    is_decided: bool  # False: the differences are too inexact to tell right from wrong
    worst: str  # the place farthest beyond the allowed error, with both slopes
    is_zero: bool = False  # the gradient is right, and exactly zero in each element


class LeafContext(NamedTuple):
    """What the checks of all leaves share."""

    params: Params
    rest: tuple[Any, ...]  # the arguments of the loss after the parameters
    values_along: Callable[..., Any]  # compiled
    slopes_at: Callable[..., Any]  # compiled
    num_directions: int
    eps: float
    tolerance: float


class _Seen(NamedTuple):
    """The slopes along one direction, and what the check along a line has said."""

    slope: Slope
    excess: float  # the error beyond the tolerance and the uncertainty
    bend: float = 0.0  # |gradient at the point - its mean over the line|
    is_refuted: bool = False
    is_hidden: bool = False  # no difference is finite, so there is nothing to compare


def check_leaf(
    context: LeafContext,
    index: int,
    leaf: tuple[str, np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> LeafCheck:
    """Checks the gradient of a leaf along several directions.

    Args:
      context: what the checks of all leaves share.
      index: the position of the leaf among the leaves of the parameters.
      leaf: its name, its values and its gradient, both f64 on the host.
      rng: chooses the directions.
    """
    name, values, grad = leaf
    is_bad = ~np.isfinite(grad)
    if is_bad.any():
        at = tuple(np.argwhere(is_bad)[0])
        worst = f"{place(at)}: the gradient is {grad[at]}"
        return LeafCheck(name, grad.shape, np.inf, np.inf, False, True, worst)
    if not grad.size:
        return LeafCheck(name, grad.shape, 0.0, 0.0, True, True, "empty", is_zero=True)
    seen = [
        _along(context, index, grad, where, direction)
        for where, direction in directions(values, context.num_directions, rng)
    ]
    uphill = steepest(values, grad)
    if uphill is not None:
        line = _on_line(context, index, grad, "along the gradient", uphill)
        seen.append(line._replace(excess=0.0))  # other directions name the place better
    return _verdict(name, grad, seen)


def _along(
    context: LeafContext, index: int, grad: np.ndarray, where: str, direction: Any
) -> _Seen:
    """Compares slopes at the point; where they differ, also along a line."""
    tree, steps = in_leaf(context.params, index, direction), _steps(context)
    values = context.values_along(context.params, tree, steps, *context.rest)
    slope = slope_of(where, grad, direction, np.asarray(values), context.eps)
    excess = _excess(slope, context.tolerance)
    if excess <= 0.0:
        return _Seen(slope, excess)
    line = _on_line(context, index, grad, where, direction)
    if line.is_refuted and np.isfinite(excess):
        return line._replace(slope=slope, excess=excess)
    return line


def _on_line(
    context: LeafContext, index: int, grad: np.ndarray, where: str, direction: Any
) -> _Seen:
    """Compares the gradient with the loss along a line through the point."""
    tree, steps = in_leaf(context.params, index, direction), _steps(context)
    values, close = (
        np.asarray(context.values_along(context.params, tree, ts, *context.rest))
        for ts in (steps, integrals.close_steps(steps))
    )

    def slopes_at(step: float, places: np.ndarray) -> tuple[Any, Any]:
        return context.slopes_at(context.params, tree, step, places, *context.rest)

    length = float(np.linalg.norm(direction))
    lines = integrals.Lines(steps, length, context.eps, context.tolerance)
    line = integrals.check_line(slopes_at, lines, values, close)
    here = float(np.vdot(grad, direction)) / length
    if line is None:
        slope = Slope(where, here, np.nan, np.inf)
        return _Seen(slope, 0.0, is_hidden=True)
    slope = Slope(where, line.gradient, line.difference, 2.0 * line.uncertainty)
    excess = _excess(slope, context.tolerance)
    if not line.is_refuted:  # one of the lines explains it
        excess = min(excess, 0.0)
    return _Seen(slope, excess, abs(here - line.gradient), line.is_refuted)


def _steps(context: LeafContext) -> np.ndarray:
    return np.cbrt(context.eps) * FACTORS


def _error(slope: Slope) -> float:
    """Returns the error of a slope; 0 without a difference to compare with."""
    error = abs(slope.gradient - slope.difference)
    return 0.0 if np.isnan(error) else error


def _size(slope: Slope) -> float:
    return float(np.nanmax([abs(slope.gradient), abs(slope.difference)]))


def _excess(slope: Slope, tolerance: float) -> float:
    """Returns the error beyond what is allowed; infinite without a difference."""
    if np.isnan(slope.difference):
        return np.inf
    return _error(slope) - tolerance * _size(slope) - slope.uncertainty


def _verdict(name: str, grad: np.ndarray, seen: list[_Seen]) -> LeafCheck:
    """Returns the check of one leaf from what was seen along all its directions."""
    refuted = [one for one in seen if one.is_refuted]
    hidden = [one for one in seen if one.is_hidden]
    size = max(_size(one.slope) for one in seen)
    largest = np.inf if hidden else max(_error(one.slope) for one in seen)
    bend = max(one.bend for one in seen)
    relative = largest / size if size else largest
    worst = max(refuted or hidden or seen, key=_excess_of).slope
    # Otherwise only the uncertainty, or a kink, puts the gradient within its bounds.
    is_close = relative <= _CLOSE and bend <= _CLOSE * size
    is_right = is_close and not refuted
    said = f"gradient {worst.gradient:.6g}, difference {worst.difference:.6g}"
    return LeafCheck(
        name,
        grad.shape,
        float(largest),
        float(relative),
        is_right,
        is_close or bool(refuted),
        f"{worst.where}: {said}",
        is_zero=is_right and not grad.any(),
    )


def _excess_of(one: _Seen) -> float:
    return one.excess
