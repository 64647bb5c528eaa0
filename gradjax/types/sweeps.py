"""What a sweep is made of, and what it gives back."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from gradjax.types.core import Hparams, Params, Series

Point: TypeAlias = dict[str, Any]  # dimension name -> float, int, str or bool


class Dimension(NamedTuple):
    """One hyperparameter that a sweep varies."""

    name: str  # as the flag says it: learning_rate, optimizer.b2, batch_size, optimizer
    kind: str  # "log", "linear", "int" or "choice"
    low: float | None = None  # None of a choice
    high: float | None = None
    values: tuple[Any, ...] = ()  # of a choice: literals, or expressions as text
    num: int | None = None  # points of a grid; None: the search's own


class Space(NamedTuple):
    """What a sweep varies: points are name -> value."""

    dimensions: tuple[Dimension, ...]


class Search(NamedTuple):
    """Which points next, as pure functions of what was seen so far."""

    init: Callable[..., Any]  # (space, seed) -> state
    ask: Callable[..., Any]  # (state, count) -> (state, list[Point])
    tell: Callable[..., Any]  # (state, list[(Point, value)]) -> state; less is better


class Sweep(NamedTuple):
    """What a command asked to be swept; the flags' defaults live here."""

    sweep: tuple[str, ...] = ()  # name=values, as `sweeps.space.parse` reads them
    space: str | None = None  # a JSON file instead
    search: str = "grid"  # an expression
    trials: int | None = None  # points; None: all that a grid has
    fresh_seeds: int = 3  # on which the best of each optimizer is run again
    halving: int | None = None  # keep one in so many at each rung; None: all go on
    width: int | None = None  # trials mapped together; None: as measured to be fast
    num_devices: int | None = None  # None: all
    accept_changes: bool = False  # of versions, code or device since it began


class Trials(NamedTuple):
    """What many runs give back, on the host; each array has an axis of trials first."""

    hparams: Hparams  # f32[trials] each; f32[trials, n] of a schedule given as numbers
    seeds: Any  # u32[trials]
    params: Params  # at evaluation; of a diverged trial those before it diverged
    trace: dict[str, Series]  # values f32[trials, points], NaN after divergence
    evaluation: dict[str, dict[str, Any]]  # split -> metric -> f32[trials]; NaN if so.
    # Not of the training split, where there is another one: it would cost too much
    diverged_step: Any  # i64[trials]: the first step with a non-finite loss, or 0
    stopped_step: Any  # i64[trials]: where successive halving ended it, or 0
    is_set_aside: Any  # bool[trials]: it ended the process each time, and has no result
    num_gradients: Any  # i64[trials]
    best: Any  # f32[trials]: of the target's metric on validation; NaN: never finite
    best_step: Any  # i64[trials]: the first step at which it was seen; or 0
    target_step: Any  # i64[trials]: the first evaluation that met the target; or 0
    compile_s: float
    run_s: float  # all of them, evaluation and the host's part included
