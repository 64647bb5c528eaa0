"""The rule for targets: the result of a tuned standard optimizer on fresh seeds."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, NamedTuple

import numpy as np

from gradjax.suites import Workload, problem_of
from gradjax.sweeps import names
from gradjax.trials.sweep import sweep
from gradjax.types import Problem, Target, Trials

OPTIMIZERS = ("sgd", "sgd(momentum=0.9)", "rmsprop", "adam")
SCHEDULE = "cosine"
FRESH_SEEDS = range(2**31, 2**31 + 10)  # the seeds that set the target
OTHER_SEEDS = range(2**31 + 10, 2**31 + 20)  # the seeds that show how often it is met
_DIGITS = 3  # significant digits of a target
_EXACT = 1e-6  # relative precision that a float32 always has


class Diverged(ValueError):
    """Every setting of the search diverged."""


class Search(NamedTuple):
    """The learning rates and the seeds that are tried with each optimizer."""

    rates: np.ndarray  # f64[rates]
    seeds: range


FINE = Search(np.geomspace(1e-4, 10, 16), range(3))
COARSE = Search(np.geomspace(1e-3, 1, 5), range(1))


class Found(NamedTuple):
    """The result of the rule for one entry of a suite."""

    optimizer: str
    learning_rate: float
    values: np.ndarray  # f64[10], the results on the fresh seeds
    value: float  # the target: the median of `values`, rounded to the easier side
    num_met: int  # how many of ten other seeds meet the target


def search_of(workload: Workload) -> Search:
    """Returns the search of the rule for an entry of a suite."""
    return COARSE if workload.is_slow else FINE


def find(workload: Workload, search: Search | None = None) -> Found:
    """Runs the rule for an entry of a suite.

    Each of four optimizers is tried with the learning rates and the seeds of the search
    and with a cosine schedule. If the best rate of the best optimizer is the smallest
    or the largest, further rates in the same ratio are tried until one is not better.
    The setting with the best mean final value is run with ten fresh seeds, and the
    median of their final values is the target.

    Args:
      workload: an entry of a suite; the value of its target is not used.
      search: the learning rates and seeds; None: those of `search_of`.

    Raises:
        Diverged: every setting diverged.
    """
    search = search or search_of(workload)
    problem = problem_of(workload)
    tried = [_best_of(problem, workload, name, search) for name in OPTIMIZERS]
    scores = np.asarray([score for score, _ in tried])
    if not np.isfinite(scores).any():
        raise Diverged(f"{workload.problem}: every setting diverged")
    best = int(scores.argmin())
    optimizer = OPTIMIZERS[best]
    rate = _widen(problem, workload, optimizer, search, tried[best])
    settings = {"learning_rate": [rate]}
    values, others = (
        final_values(run(problem, workload, optimizer, settings, seeds), workload)
        for seeds in (FRESH_SEEDS, OTHER_SEEDS)
    )
    value = _ease(float(np.median(values)), workload.target.mode)
    met = num_met(others, workload.target._replace(value=value))
    return Found(optimizer, rate, values, value, met)


def run(
    problem: Problem,
    workload: Workload,
    optimizer: str,
    settings: dict[str, Any],
    seeds: range,
) -> Trials:
    """Trains the problem of an entry for its budget, with a cosine schedule.

    An optimizer without a learning rate follows no schedule.

    Args:
      problem: the problem of the entry.
      workload: the entry, which gives the batch size and the number of steps.
      optimizer: an expression.
      settings: hyperparameter -> a value for each setting, as in `gradjax.sweep`.
      seeds: the seeds with which each setting is run.

    Raises:
        Refusal: what `gradjax.sweep` refuses.
    """
    return sweep(
        problem,
        optimizer,
        settings,
        seeds,
        names.schedule_for(optimizer, SCHEDULE),
        num_steps=workload.num_steps,
        batch_size=workload.batch_size,
    )


def final_values(found: Trials, workload: Workload) -> np.ndarray:
    """Returns the final value of each trial: f64[trials], NaN for a diverged trial."""
    name = workload.target.metric
    for split in ("validation", "train"):
        if name in found.evaluation.get(split, {}):
            return np.asarray(found.evaluation[split][name], np.float64)
    raise KeyError(f"{workload.problem} does not measure {name}")


def num_met(values: np.ndarray, target: Target) -> int:
    """Counts the values that meet the target; NaN, of a diverged trial, does not.

    A relative tolerance of 1e-6 is used, because values are measured in float32, where
    0.914 is 0.91399997.
    """
    value = np.nan if target.value is None else target.value
    above = values - value if target.mode == "max" else value - values
    return int((above >= -_EXACT * abs(value)).sum())


def _best_of(
    problem: Problem, workload: Workload, optimizer: str, search: Search
) -> tuple[float, float]:
    """Returns (the best score, its learning rate); smaller scores are better."""
    settings = {"learning_rate": search.rates}
    found = run(problem, workload, optimizer, settings, search.seeds)
    sign = -1.0 if workload.target.mode == "max" else 1.0
    scores = sign * final_values(found, workload).reshape(len(search.rates), -1).mean(
        axis=1
    )
    scores = np.where(np.isfinite(scores), scores, np.inf)
    best = int(scores.argmin())
    return float(scores[best]), float(search.rates[best])


def _widen(
    problem: Problem,
    workload: Workload,
    optimizer: str,
    search: Search,
    best: tuple[float, float],
) -> float:
    """Returns the best learning rate, outside the search's range if that is better."""
    (score, rate), (low, high) = best, search.rates[[0, -1]]
    ratio = (high / low) ** (1 / (len(search.rates) - 1))
    while rate <= low or rate >= high:
        rates = np.asarray([rate / ratio if rate <= low else rate * ratio])
        further = search._replace(rates=rates)
        found = _best_of(problem, workload, optimizer, further)
        if found[0] >= score:
            break
        score, rate = found
    return rate


def _ease(value: float, mode: str) -> float:
    """Rounds a target to three digits, to the side that is easier to meet."""
    if value == 0.0:
        return 0.0
    said = Decimal(f"{value:.6g}")  # the six decimal digits that a float32 always has
    unit = Decimal(1).scaleb(said.adjusted() - _DIGITS + 1)
    return float(said.quantize(unit, ROUND_FLOOR if mode == "max" else ROUND_CEILING))
