"""The map from coordinates in the unit cube to points of a space, for every search.

A log range is uniform in its logarithm. An int range includes both ends, and each whole
number has an equal share of [0, 1). Each value of a choice has an equal share, too.
"""

import operator
from typing import Any, cast

import numpy as np

from gradjax.errors import Refusal
from gradjax.types import Dimension, Point, Space

MAX_POINTS = 100_000  # the most points of a search; more is probably a typing error


def value(dimension: Dimension, coordinate: float) -> Any:
    """Returns the value of a dimension at a coordinate in [0, 1]; 1 is the high end."""
    if dimension.kind == "choice":
        return dimension.values[_cell(coordinate, len(dimension.values))]
    if dimension.kind == "int":
        return int(cast(int, dimension.low)) + _cell(coordinate, num_whole(dimension))
    low, high = bounds(dimension)
    if dimension.kind == "log":
        # A power of the ratio instead of exp and log, so that 1e-4, 1e-3, ... are exact
        # decimals. Both ends are normal float32 numbers: the ratio cannot overflow.
        return min(max(low * (high / low) ** coordinate, low), high)
    return min(max(low + (high - low) * coordinate, low), high)


def points(space: Space, coordinates: np.ndarray) -> list[Point]:
    """Returns the points at `coordinates`, f64[points, dimensions] in [0, 1)."""
    return [
        {
            dimension.name: value(dimension, float(coordinate))
            for dimension, coordinate in zip(space.dimensions, row, strict=True)
        }
        for row in coordinates
    ]


def bounds(dimension: Dimension) -> tuple[float, float]:
    """Returns the two ends of a range."""
    return float(cast(float, dimension.low)), float(cast(float, dimension.high))


def num_whole(dimension: Dimension) -> int:
    """Returns the number of whole numbers in an int range, with both ends."""
    return int(cast(int, dimension.high)) - int(cast(int, dimension.low)) + 1


def check(space: Space) -> Space:
    """Checks that a space has a dimension, and returns it.

    Raises:
        Refusal: it has none.
    """
    if not space.dimensions:
        raise Refusal("nothing to search: the space has no hyperparameter")
    return space


def advance(num_asked: int, count: int) -> int:
    """Returns the number of requested points after a request for `count` more.

    Raises:
        Refusal: a count that is negative or not a whole number, or a total above the
            most points of a search.
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
    """Returns the cell of [0, 1] that contains a coordinate; 1 is in the last cell."""
    return min(int(coordinate * num_cells), num_cells - 1)
