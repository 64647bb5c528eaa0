"""Grid search: every combination of the values of the hyperparameters."""

import math
from typing import Any, NamedTuple

from gradjax.errors import Refusal
from gradjax.search import unit_cube
from gradjax.types import Dimension, Point, Search, Space


class State(NamedTuple):
    """The position of a search in its grid."""

    space: Space
    num_asked: int = 0


def grid(num: int = 10) -> Search:
    """Makes a search over all combinations; the last hyperparameter varies fastest.

    A choice contributes its values. A range contributes evenly spaced points in its
    scale, with both ends; a single point is the middle. Beyond the end of the grid,
    `ask` returns fewer points than requested.

    Args:
      num: the number of points of a range that does not state its own number; an int
        range never has more points than whole numbers.

    Raises:
        Refusal: `num` is not a positive whole number; at `init`, the grid has more than
            100,000 points.
    """
    if isinstance(num, bool) or not isinstance(num, int) or num < 1:
        raise Refusal(f"grid(num={num!r}): expected a whole number, at least 1")

    def init(space: Space, _seed: int) -> State:
        sizes = [_size(dimension, num) for dimension in space.dimensions]
        if math.prod(sizes) > unit_cube.MAX_POINTS:
            raise Refusal(
                f"a grid of {' x '.join(f'{size:,}' for size in sizes)} ="
                f" {math.prod(sizes):,} points; at most {unit_cube.MAX_POINTS:,}: give"
                " fewer points, or another search"
            )
        return State(space)

    def ask(state: State, count: int) -> tuple[State, list[Point]]:
        axes = [values(dimension, num) for dimension in state.space.dimensions]
        size = math.prod(map(len, axes))
        stop = min(unit_cube.advance(state.num_asked, count), size)
        found = [_at(state.space, axes, k) for k in range(state.num_asked, stop)]
        return state._replace(num_asked=stop), found

    def tell(state: State, _told: list[tuple[Point, float | None]]) -> State:
        return state

    return Search(init, ask, tell)


def values(dimension: Dimension, num: int = 10) -> list[Any]:
    """Returns the values of one hyperparameter in a grid; `num` as in `grid`."""
    size = _size(dimension, num)
    if dimension.kind == "choice":
        return list(dimension.values)
    if size == 1:
        return [unit_cube.value(dimension, 0.5)]
    if dimension.kind == "int":  # in integer arithmetic, which has no rounding errors
        low, last = unit_cube.value(dimension, 0.0), size - 1
        span = unit_cube.num_whole(dimension) - 1
        return [low + (k * span + last // 2) // last for k in range(size)]
    return [unit_cube.value(dimension, k / (size - 1)) for k in range(size)]


def _size(dimension: Dimension, num: int) -> int:
    """Returns the number of values of one hyperparameter, without computing them."""
    if dimension.kind == "choice":
        return len(dimension.values)
    size = num if dimension.num is None else dimension.num
    is_int = dimension.kind == "int"
    return min(size, unit_cube.num_whole(dimension)) if is_int else size


def _at(space: Space, axes: list[list[Any]], index: int) -> Point:
    """Returns the point of an index: a digit for each axis, the last one the lowest."""
    digits = []
    for axis in reversed(axes):
        index, digit = divmod(index, len(axis))
        digits.append(axis[digit])
    names = [dimension.name for dimension in space.dimensions]
    return dict(zip(names, reversed(digits), strict=True))
