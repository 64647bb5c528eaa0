"""Types for the space and the search of a sweep."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

Point: TypeAlias = dict[str, Any]  # dimension name -> float, int, str or bool


class Dimension(NamedTuple):
    """One hyperparameter that a sweep varies."""

    name: str  # as in the flag: learning_rate, optimizer.b2, adamw.b2, batch_size
    kind: str  # "log", "linear", "int" or "choice"
    low: float | None = None  # None for a choice
    high: float | None = None  # None for a choice
    values: tuple[Any, ...] = ()  # for a choice: literals, or expressions as text
    num: int | None = None  # number of grid points; None: the default of the search
    optimizers: tuple[str, ...] = ()  # that alone have it; (): all of the sweep


class Space(NamedTuple):
    """The hyperparameters that a sweep varies; a `Point` is one value of each."""

    dimensions: tuple[Dimension, ...]


class Search(NamedTuple):
    """A search method: pure functions that choose points from earlier results."""

    init: Callable[..., Any]  # (space, seed) -> state
    ask: Callable[..., Any]  # (state, count) -> (state, list[Point])
    tell: Callable[..., Any]
    # (state, list[(Point, value)]) -> state; smaller values are better
