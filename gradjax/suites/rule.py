"""How a target is set: what a tuned standard optimizer reaches on fresh seeds."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, NamedTuple

import numpy as np

from gradjax import problems
from gradjax.suites import Workload
from gradjax.trials.sweep import sweep
from gradjax.types import Problem, Target, Trials

OPTIMIZERS = ("sgd", "sgd(momentum=0.9)", "rmsprop", "adam")
SCHEDULE = "cosine"
FRESH_SEEDS = range(2**31, 2**31 + 10)  # which set the target
OTHER_SEEDS = range(2**31 + 10, 2**31 + 20)  # which say how often it is met
_DIGITS = 3  # of a target
_EXACT = 1e-6  # relative: what a float32 holds for sure


class Diverged(ValueError):
    """No setting of the search ended with finite numbers."""


class Search(NamedTuple):
    """What is tried of each optimizer."""

    rates: np.ndarray  # f64[rates]
    seeds: range


FINE = Search(np.geomspace(1e-4, 10, 16), range(3))
COARSE = Search(np.geomspace(1e-3, 1, 5), range(1))


class Found(NamedTuple):
    """What the rule found on one workload."""

    optimizer: str
    learning_rate: float
    values: np.ndarray  # f64[10], on the fresh seeds
    value: float  # the target: their median, rounded to the easier side
    num_met: int  # of ten other seeds


def search_of(workload: Workload) -> Search:
    """What the rule tries on a workload."""
    return COARSE if workload.is_slow else FINE


def find(workload: Workload, search: Search | None = None) -> Found:
    """Runs the rule.

    Each of four optimizers, over the search's learning rates and seeds, with a cosine
    schedule. Where the best rate of the best optimizer is the least or the largest,
    further ones follow in the same ratio while they are better. The setting with the
    best mean at the end is run on ten fresh seeds, and the median of what they reach is
    the target.

    Args:
      workload: whose target's value is not looked at.
      search: what is tried; None: `search_of` says it.

    Raises:
        Diverged: every setting did.
    """
    search = search or search_of(workload)
    problem = problems.make(workload.problem)
    tried = [_searched(problem, workload, name, search) for name in OPTIMIZERS]
    scores = np.asarray([score for score, _ in tried])
    if not np.isfinite(scores).any():
        raise Diverged(f"{workload.problem}: every setting diverged")
    best = int(scores.argmin())
    optimizer = OPTIMIZERS[best]
    rate = _widened(problem, workload, optimizer, search, tried[best])
    settings = {"learning_rate": [rate]}
    values, others = (
        reached(run(problem, workload, optimizer, settings, seeds), workload)
        for seeds in (FRESH_SEEDS, OTHER_SEEDS)
    )
    value = _eased(float(np.median(values)), workload.target.mode)
    met = num_met(others, workload.target._replace(value=value))
    return Found(optimizer, rate, values, value, met)


def run(
    problem: Problem,
    workload: Workload,
    optimizer: str,
    settings: dict[str, Any],
    seeds: range,
) -> Trials:
    """Trains a workload's problem on its budget, with a cosine schedule.

    Args:
      problem: of the workload.
      workload: batch size and number of steps.
      optimizer: an expression.
      settings: hyperparameter -> a value for each setting, as `gradjax.sweep` takes it.
      seeds: each setting is run with all of them.

    Raises:
        Refusal: what `gradjax.sweep` refuses.
    """
    return sweep(
        problem,
        optimizer,
        settings,
        seeds,
        SCHEDULE,
        num_steps=workload.num_steps,
        batch_size=workload.batch_size,
    )


def reached(found: Trials, workload: Workload) -> np.ndarray:
    """What each trial reaches at its end: f64[trials], NaN where it diverged."""
    name = workload.target.metric
    for split in ("validation", "train"):
        if name in found.evaluation.get(split, {}):
            return np.asarray(found.evaluation[split][name], np.float64)
    raise KeyError(f"{workload.problem} does not measure {name}")


def num_met(values: np.ndarray, target: Target) -> int:
    """How many of the values meet the target; a diverged one (NaN) does not.

    Within a millionth, for values are measured in float32, where 0.914 is 0.91399997.
    """
    value = np.nan if target.value is None else target.value
    above = values - value if target.mode == "max" else value - values
    return int((above >= -_EXACT * abs(value)).sum())


def _searched(
    problem: Problem, workload: Workload, optimizer: str, search: Search
) -> tuple[float, float]:
    """(the best score, less being better; its learning rate)."""
    settings = {"learning_rate": search.rates}
    found = run(problem, workload, optimizer, settings, search.seeds)
    sign = -1.0 if workload.target.mode == "max" else 1.0
    scores = sign * reached(found, workload).reshape(len(search.rates), -1).mean(axis=1)
    scores = np.where(np.isfinite(scores), scores, np.inf)
    best = int(scores.argmin())
    return float(scores[best]), float(search.rates[best])


def _widened(
    problem: Problem,
    workload: Workload,
    optimizer: str,
    search: Search,
    best: tuple[float, float],
) -> float:
    """The best learning rate, beyond the search's own where that is better."""
    (score, rate), (low, high) = best, search.rates[[0, -1]]
    ratio = (high / low) ** (1 / (len(search.rates) - 1))
    while rate <= low or rate >= high:
        rates = np.asarray([rate / ratio if rate <= low else rate * ratio])
        further = search._replace(rates=rates)
        found = _searched(problem, workload, optimizer, further)
        if found[0] >= score:
            break
        score, rate = found
    return rate


def _eased(value: float, mode: str) -> float:
    """Three digits, rounded to the side on which it is easier to meet."""
    if value == 0.0:
        return 0.0
    said = Decimal(f"{value:.6g}")  # base ten; to what a float32 holds for sure
    unit = Decimal(1).scaleb(said.adjusted() - _DIGITS + 1)
    return float(said.quantize(unit, ROUND_FLOOR if mode == "max" else ROUND_CEILING))
