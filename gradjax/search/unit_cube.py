"""The unit cube and the space: one rule from coordinates to points for every search.

A log range is even in its logarithm. An int range has both ends, each whole number with
an equal share of [0, 1), and a choice gives each of its values an equal share.
"""

import operator
from typing import Any, cast

import numpy as np

from gradjax.errors import Refusal
from gradjax.types import Dimension, Point, Space

MAX_POINTS = 100_000  # of one search: beyond it a plan is a slip of the keyboard


def value(dimension: Dimension, coordinate: float) -> Any:
    """The dimension's value at a coordinate in [0, 1]; 1 itself is the high end."""
    if dimension.kind == "choice":
        return dimension.values[_cell(coordinate, len(dimension.values))]
    if dimension.kind == "int":
        return int(cast(int, dimension.low)) + _cell(coordinate, num_whole(dimension))
    low, high = bounds(dimension)
    if dimension.kind == "log":
        # A power of the ratio, not exp and log: 1e-4, 1e-3, ... stay the decimal they
        # are. Both ends are normal float32 numbers, so the ratio cannot overflow.
        return min(max(low * (high / low) ** coordinate, low), high)
    return min(max(low + (high - low) * coordinate, low), high)


def points(space: Space, coordinates: np.ndarray) -> list[Point]:
    """The points at `coordinates`, f64[points, dimensions] in [0, 1)."""
    return [
        {
            dimension.name: value(dimension, float(coordinate))
            for dimension, coordinate in zip(space.dimensions, row, strict=True)
        }
        for row in coordinates
    ]


def bounds(dimension: Dimension) -> tuple[float, float]:
    """The two ends of a range."""
    return float(cast(float, dimension.low)), float(cast(float, dimension.high))


def num_whole(dimension: Dimension) -> int:
    """How many whole numbers an int range has, both ends included."""
    return int(cast(int, dimension.high)) - int(cast(int, dimension.low)) + 1


def checked(space: Space) -> Space:
    """The space, which has something to search.

    Raises:
        Refusal: it has no dimension.
    """
    if not space.dimensions:
        raise Refusal("nothing to search: the space has no hyperparameter")
    return space


def advanced(num_asked: int, count: int) -> int:
    """How many points are asked for after `count` more.

    Raises:
        Refusal: a count that is no whole number or is negative, or more in all than
            one search gives.
    """
    try:
        total = num_asked + operator.index(count)
    except TypeError:
        raise Refusal(f"{count!r} points: expected a whole number") from None
    if count < 0:
        raise Refusal(f"{count} points: must be 0 or more")
    if total > MAX_POINTS:
        raise Refusal(f"{total:,} points: a search gives at most {MAX_POINTS:,}")
    return total


def _cell(coordinate: float, num_cells: int) -> int:
    """Which of the equal cells of [0, 1] the coordinate lies in; 1 is in the last."""
    return min(int(coordinate * num_cells), num_cells - 1)
