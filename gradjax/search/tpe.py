"""Tree-structured Parzen estimators: where good points were dense and bad ones not.

Optuna only suggests, in memory: what a search knows is in its state, and the records
of a sweep are the truth.
"""

import contextlib
import importlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from gradjax.errors import Refusal
from gradjax.search import unit_cube
from gradjax.search.sobol import draw
from gradjax.types import Dimension, Point, Search, Space

_MAX_CELLS = 1_000
Numbers = tuple[float, ...]  # a point's values in the space's order; a choice's index


class State(NamedTuple):
    """What was asked for, and what is known."""

    space: Space
    seed: int
    num_asked: int = 0
    num_drawn: int = 0  # of them, from the Sobol sequence
    told: tuple[tuple[Numbers, float | None], ...] = ()  # None: it was not finite


def tpe(startup: int = 10, every: int = 4) -> Search:
    """Points in rounds: most where the model expects better, some spread evenly.

    Points are from the Sobol sequence until `startup` results are known, one of them
    finite. After that every 4th point still is, counted over all rounds: a share of
    each round that no wrong model can take, and a round of one point is not always
    that one. The points of a round are kept apart: each is a bad result to the next
    (a constant liar).

    The density is over all hyperparameters together (multivariate): a good learning
    rate depends on the momentum and the weight decay, which a product of densities of
    one each cannot say. Measured over 10 seeds, 48 points in rounds of 8: on a bowl
    along the axes the best is 0.007 so and 0.008 apart, on a slanted one 0.010 and
    0.018.

    A result that is None, NaN or infinite is the worst. The order in which results are
    told counts: the newest 25 weigh most.

    Args:
      startup: results before the model is asked.
      every: one point of so many is from the Sobol sequence.

    Sources:
      Bergstra, Bardenet, Bengio and Kegl, "Algorithms for Hyper-Parameter
      Optimization", NeurIPS 2011; Falkner, Klein and Hutter, "BOHB", ICML 2018, for
      the joint density and for the share that no model chooses.
    """
    for name, number in (("startup", startup), ("every", every)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise Refusal(f"tpe({name}={number!r}): expected a whole number above 0")

    def init(space: Space, seed: int) -> State:
        _optuna()  # refused here, before anything runs
        return State(unit_cube.checked(space), seed)

    def ask(state: State, count: int) -> tuple[State, list[Point]]:
        stop = unit_cube.advanced(state.num_asked, count)
        known = [worth is not None for _, worth in state.told]
        is_ready = len(known) >= startup and any(known)
        asked = range(state.num_asked, stop)
        is_modelled = [is_ready and k % every != 0 for k in asked]
        num_drawn = count - sum(is_modelled)
        drawn = _drawn(state, num_drawn)
        suggested = iter(_suggested(state, drawn, sum(is_modelled)))
        rest = iter(drawn)
        points = [next(suggested if modelled else rest) for modelled in is_modelled]
        total = state.num_drawn + num_drawn
        return state._replace(num_asked=stop, num_drawn=total), points

    def tell(state: State, told: list[tuple[Point, float | None]]) -> State:
        new = [(_numbers(state.space, point), _worth(value)) for point, value in told]
        return state._replace(told=(*state.told, *new))

    return Search(init, ask, tell)


def _drawn(state: State, count: int) -> list[Point]:
    """The next points of the Sobol sequence."""
    num_dimensions = len(state.space.dimensions)
    coordinates = draw(num_dimensions, state.seed, state.num_drawn, count)
    return unit_cube.points(state.space, coordinates)


def _suggested(state: State, beside: list[Point], count: int) -> list[Point]:
    """The model's points, away from those that run `beside` them."""
    if count == 0:
        return []
    optuna = _optuna()
    distributions = {
        dimension.name: _distribution(optuna, dimension)
        for dimension in state.space.dimensions
    }

    def trial(numbers: Numbers, **result: Any) -> Any:
        params = dict(zip(distributions, numbers, strict=True))
        return optuna.create_trial(params=params, distributions=distributions, **result)

    # A round's own seed: the same round gives the same points, another gives others.
    (round_seed,) = np.random.SeedSequence(
        [state.seed, state.num_asked]
    ).generate_state(1)
    running = optuna.trial.TrialState.RUNNING
    with _silent(optuna):
        sampler = optuna.samplers.TPESampler(
            seed=int(round_seed),
            n_startup_trials=0,
            multivariate=True,
            constant_liar=True,
        )
        study = optuna.create_study(direction="minimize", sampler=sampler)
        for numbers, worth in state.told:
            study.add_trial(trial(numbers, value=math.inf if worth is None else worth))
        for point in beside:
            study.add_trial(trial(_numbers(state.space, point), state=running))
        asked = [study.ask(distributions).params for _ in range(count)]
    return [_point(state.space, params) for params in asked]


def _distribution(optuna: Any, dimension: Dimension) -> Any:
    """Optuna's form of a dimension; a choice is over its indices, as 1 == True.

    An int range of many is a real one that is rounded: Optuna takes the mass of each
    whole number, whose logarithm is not finite where that is a tiny share.
    """
    if dimension.kind == "choice":
        indices = range(len(dimension.values))
        return optuna.distributions.CategoricalDistribution(tuple(indices))
    low, high = unit_cube.bounds(dimension)
    if dimension.kind == "int" and unit_cube.num_whole(dimension) <= _MAX_CELLS:
        return optuna.distributions.IntDistribution(int(low), int(high))
    return optuna.distributions.FloatDistribution(
        low, high, log=dimension.kind == "log"
    )


def _numbers(space: Space, point: Point) -> Numbers:
    """The point's values in the space's order.

    Raises:
        Refusal: a hyperparameter is missing or strange, or a value is out of the space.
    """
    names = [dimension.name for dimension in space.dimensions]
    if set(names) != set(point):
        raise Refusal(f"told of {sorted(point)}; the space has {sorted(names)}")
    return tuple(_number(dim, point[dim.name]) for dim in space.dimensions)


def _number(dimension: Dimension, value: Any) -> float:
    """The value, or its index among the choices."""
    if dimension.kind == "choice":
        for index, other in enumerate(dimension.values):
            if other == value and isinstance(other, bool) == isinstance(value, bool):
                return index
        raise Refusal(f"told of {dimension.name}={value!r}, which is not in the list")
    low, high = unit_cube.bounds(dimension)
    if not low <= value <= high:
        said = f"{dimension.name}={value!r}"
        raise Refusal(f"told of {said}, which is not within {low:g} to {high:g}")
    return int(value) if dimension.kind == "int" else float(value)


def _point(space: Space, numbers: dict[str, Any]) -> Point:
    """The point of Optuna's numbers, as plain Python values."""
    point: Point = {}
    for dimension in space.dimensions:
        number = numbers[dimension.name]
        if dimension.kind == "choice":
            point[dimension.name] = dimension.values[number]
        elif dimension.kind == "int":
            point[dimension.name] = round(number)
        else:
            low, high = unit_cube.bounds(dimension)  # exp(log(high)) may be beyond it
            point[dimension.name] = min(max(float(number), low), high)
    return point


def _worth(value: float | None) -> float | None:
    """The value, or None where it is no number to compare."""
    return float(value) if value is not None and math.isfinite(value) else None


def _optuna() -> Any:
    """The package, an extra.

    Raises:
        Refusal: it is not installed; the line gives the command.
    """
    try:
        return importlib.import_module("optuna")
    except ImportError as error:
        raise Refusal(
            f"tpe needs optuna: pip install 'gradjax[tpe]' ({error})"
        ) from None


@contextlib.contextmanager
def _silent(optuna: Any) -> Iterator[None]:
    """Optuna says nothing; afterwards as much as before."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
