"""One search in each of several spaces, such as the own space of each optimizer."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from gradjax.errors import Refusal
from gradjax.search import unit_cube
from gradjax.types import Point, Search, Space


class State(NamedTuple):
    """The searches in all spaces, and how many points each of them has given."""

    states: tuple[Any, ...]
    counts: tuple[int, ...]
    is_over: tuple[bool, ...]  # of a grid whose points are all given


def in_turn(method: Search, spaces: Sequence[Space]) -> Search:
    """Makes a search whose points come from each space in turn.

    So every space has as many points as the others, except one whose grid is smaller.
    The result of a point is told to the search in its space.

    Args:
      method: the search in each space.
      spaces: of each optimizer one, which differ in the value of `optimizer`; a single
        space is searched by `method` itself.

    Raises:
        Refusal: at `ask`, all points are asked for and are more than 100,000 together.
    """
    if len(spaces) == 1:
        return _within(method, spaces[0])

    def init(_space: Space, seed: int) -> State:
        states = tuple(method.init(space, seed) for space in spaces)
        return State(states, (0,) * len(spaces), (False,) * len(spaces))

    def ask(state: State, count: int) -> tuple[State, list[Point]]:
        unit_cube.advance(sum(state.counts), count)
        found: list[tuple[int, int, Point]] = []
        while len(found) < count and not all(state.is_over):
            shares = _shares(state, count - len(found))
            for k, share in enumerate(shares):
                state, points = _ask_one(method, state, k, share)
                before = state.counts[k] - len(points)
                found += [(before + n, k, one) for n, one in enumerate(points)]
        if count == unit_cube.MAX_POINTS:
            _refuse_more(method, state)
        return state, [one for _, _, one in sorted(found, key=lambda of: of[:2])]

    def tell(state: State, told: list[tuple[Point, float | None]]) -> State:
        states = list(state.states)
        for k, space in enumerate(spaces):
            (value,) = _optimizers(space)
            own = [pair for pair in told if pair[0]["optimizer"] == value]
            states[k] = method.tell(states[k], own) if own else states[k]
        return state._replace(states=tuple(states))

    return Search(init, ask, tell)


def _refuse_more(method: Search, state: State) -> None:
    """Refuses grids that have more points together than a search gives."""
    left = [k for k, is_over in enumerate(state.is_over) if not is_over]
    if any(_ask_one(method, state, k, 1)[1] for k in left):
        raise Refusal(
            f"the spaces of {len(state.states)} optimizers have more than"
            f" {unit_cube.MAX_POINTS:,} points together: give fewer, or --trials=N"
        )


def _within(method: Search, space: Space) -> Search:
    """Makes the search in one space, whatever space `init` is given."""
    return method._replace(init=lambda _space, seed: method.init(space, seed))


def _ask_one(
    method: Search, state: State, k: int, share: int
) -> tuple[State, list[Point]]:
    """Asks the search in space `k` for its share of the points."""
    if not share:
        return state, []
    own, points = method.ask(state.states[k], share)
    return State(
        _put(state.states, k, own),
        _put(state.counts, k, state.counts[k] + len(points)),
        _put(state.is_over, k, len(points) < share),
    ), points


def _put(values: tuple[Any, ...], k: int, value: Any) -> tuple[Any, ...]:
    return (*values[:k], value, *values[k + 1 :])


def _shares(state: State, count: int) -> list[int]:
    """Returns how many points each search gives next, so that all have given equal."""
    left = [k for k, is_over in enumerate(state.is_over) if not is_over]
    counts = list(state.counts)
    for _ in range(count):
        fewest = min(left, key=lambda k: counts[k])
        counts[fewest] += 1
    return [after - before for after, before in zip(counts, state.counts, strict=True)]


def _optimizers(space: Space) -> tuple[Any, ...]:
    return next(one.values for one in space.dimensions if one.name == "optimizer")
