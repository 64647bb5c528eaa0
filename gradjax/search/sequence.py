"""A search over a fixed sequence of points in the unit cube, independent of results."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradjax.search import unit_cube
from gradjax.types import Point, Search, Space

Draw = Callable[[int, int, int, int], np.ndarray]
# draw(num_dimensions, seed, start, count) -> f64[count, num_dimensions] in [0, 1), the
# points start, start + 1, ... of the sequence of the seed


class State(NamedTuple):
    """The position of a search in its sequence of points."""

    space: Space
    seed: int
    num_asked: int = 0


def sequence(draw: Draw) -> Search:
    """Makes the search that gives the points of a sequence in order.

    A request for n points and then for m points gives the same points as one request
    for n + m. Results have no effect.
    """

    def init(space: Space, seed: int) -> State:
        return State(unit_cube.check(space), seed)

    def ask(state: State, count: int) -> tuple[State, list[Point]]:
        stop = unit_cube.advance(state.num_asked, count)
        num_dimensions = len(state.space.dimensions)
        coordinates = draw(num_dimensions, state.seed, state.num_asked, count)
        points = unit_cube.points(state.space, coordinates)
        return state._replace(num_asked=stop), points

    def tell(state: State, _told: list[tuple[Point, float | None]]) -> State:
        return state

    return Search(init, ask, tell)
