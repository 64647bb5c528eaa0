"""Types for the space, the search and the results of a sweep."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from gradjax.types.core import Hparams, ModelState, Params, Series, TrainState

Point: TypeAlias = dict[str, Any]  # dimension name -> float, int, str or bool


class Dimension(NamedTuple):
    """One hyperparameter that a sweep varies."""

    name: str  # as in the flag: learning_rate, optimizer.b2, batch_size, optimizer
    kind: str  # "log", "linear", "int" or "choice"
    low: float | None = None  # None for a choice
    high: float | None = None  # None for a choice
    values: tuple[Any, ...] = ()  # for a choice: literals, or expressions as text
    num: int | None = None  # number of grid points; None: the default of the search


class Space(NamedTuple):
    """The hyperparameters that a sweep varies; a `Point` is one value of each."""

    dimensions: tuple[Dimension, ...]


class Search(NamedTuple):
    """A search method: pure functions that choose points from earlier results."""

    init: Callable[..., Any]  # (space, seed) -> state
    ask: Callable[..., Any]  # (state, count) -> (state, list[Point])
    tell: Callable[..., Any]
    # (state, list[(Point, value)]) -> state; smaller values are better


class Trials(NamedTuple):
    """The results of many trials, on the host; the first axis of arrays is trials."""

    hparams: Hparams  # f32[trials] each; f32[trials, n] of a schedule given as numbers
    seeds: Any  # u32[trials]
    params: Params
    # the kept parameters, as evaluated (averaged where the optimizer averages); of a
    # diverged trial the last finite ones
    state: TrainState  # after the last segment of each trial
    trace: dict[str, Series]  # values f32[trials, points]; NaN after the trial's end
    evaluation: dict[str, dict[str, Any]]
    # split -> metric -> f32[trials], measured at `params`; NaN where the trial diverged
    # or was stopped by successive halving
    status: Any  # text [trials]: "finished", "diverged", "stopped early" by patience,
    # "stopped" by successive halving, or "set aside" (it ended the process each time)
    num_steps: Any  # i64[trials]: steps taken until the trial ended
    diverged_step: Any  # i64[trials]: the first step with a non-finite loss, or 0
    kept_step: Any  # i64[trials]: steps taken when `params` were reached
    num_gradients: Any  # i64[trials]: gradients computed
    best: Any  # f32[trials]: best value of the target's metric on validation (without
    # that split: of the training curve), or NaN
    best_step: Any  # i64[trials]: the first step with that value, or 0
    target_step: Any  # i64[trials]: the first evaluation that met the target, or 0
    compile_s: float  # seconds
    run_s: float  # seconds for all trials: training, evaluation and work on the host
    model_state: ModelState = None  # of the network, beside `params`: [trials, ...]
