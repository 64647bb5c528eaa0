"""Runs the learning-rate range test of `gradjax.analysis.lr_range` on a problem.

The seeds are the lanes of one program, whose schedule rises exponentially.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax import optimizers
from gradjax.analysis import lr_range as analysis
from gradjax.analysis.lr_range import Outcome, Spread
from gradjax.counts import as_whole
from gradjax.errors import Refusal
from gradjax.optimizers.build import name_of
from gradjax.trials.sweep import sweep
from gradjax.types import Problem

MIN_STEPS, MAX_STEPS = 20, 100_000
LEAST, MOST = 1e-15, 1e15  # rates: their ratio is still a float32


class RangeTest(NamedTuple):
    """The result of a range test.

    Attributes:
      rates: f64[steps], the learning rates.
      losses: f64[seeds, steps], the loss before the update with each rate; NaN from the
        step on at which it was not finite.
      seeds: the seed of each row.
      outcomes: the result of each seed.
      suggestion: over the seeds; None if half of them or more have none.
      divergence: likewise.
      ratios: the other learning rates of the optimizer: path -> its multiple of the
        first one, which is the same at every step.
    """

    rates: np.ndarray
    losses: np.ndarray
    seeds: tuple[int, ...]
    outcomes: tuple[Outcome, ...]
    suggestion: Spread | None
    divergence: Spread | None
    ratios: dict[str, float]


def lr_range(
    problem: Problem,
    optimizer: Any = "adam",
    low: float = 1e-6,
    high: float = 10.0,
    num_steps: int = 200,
    seeds: Sequence[int] = range(5),
    batch_size: int | None = None,
) -> RangeTest:
    """Trains once per seed with a rising learning rate, and finds the rates.

    Args:
      problem: the problem to minimise. Its test split is not evaluated.
      optimizer: as `gradjax.program` takes it. If it has several learning rates, the
        first one has the given values, and the others keep their ratio to it.
      low: the first learning rate, from 1e-15.
      high: the last learning rate, above `low`, up to 1e15.
      num_steps: the number of learning rates, which is the number of updates, from 20
        to 100,000. Inside `multi_steps` an update has several batches, and its loss is
        their mean.
      seeds: the seed of each run.
      batch_size: examples in a batch; None takes the complete training split.

    Raises:
        Refusal: a number out of range, an optimizer without a learning rate, or what
            `gradjax.sweep` refuses.
    """
    _check(low, high, num_steps)
    spec, numbers = optimizers.split(optimizer)
    if not spec.rates:
        raise Refusal(f"{name_of(spec)} has no learning rate that a test could vary")
    ratios = _ratios(spec.rates, numbers, name_of(spec))
    every = optimizers.steps_per_update(spec).get(spec.rates[0], 1)
    if problem.data is not None:
        problem = problem._replace(data=problem.data._replace(test=None))
    found = sweep(
        problem,
        optimizer,
        {path: [high * ratio] for path, ratio in ratios.items()},
        seeds,
        rising(low / high, num_steps),
        num_steps=num_steps * every,
        batch_size=batch_size,
        trace_every=1,
    )
    losses = np.asarray(found.trace["loss"].values, np.float64)
    losses = losses.reshape(len(losses), num_steps, every).mean(axis=2)
    rates = analysis.rates(low, high, num_steps)
    outcomes = tuple(analysis.outcome(rates, row) for row in losses)
    return RangeTest(
        rates,
        losses,
        tuple(map(int, found.seeds)),
        outcomes,
        analysis.spread([one.suggestion for one in outcomes]),
        analysis.spread([one.divergence for one in outcomes]),
        {path: ratio for path, ratio in ratios.items() if path != spec.rates[0]},
    )


def rising(start: float, num_steps: int) -> Callable[..., jax.Array]:
    """Makes the shape of a schedule that rises exponentially from `start` to 1.

    The value at step k of K is start^(1 - k / (K - 1)), so the last step has 1.

    Args:
      start: the value at the first step, above 0; a number of the program.
      num_steps: K, the number of updates, at least 2.
    """

    def rise(progress: jax.Array, start: float = start) -> jax.Array:
        part = progress * (num_steps / (num_steps - 1))
        return jnp.power(jnp.asarray(start, float), 1.0 - part)

    return rise


def _check(low: float, high: float, num_steps: int) -> None:
    """Refuses rates and a number of steps that are out of range."""
    for name, value in (("low", low), ("high", high)):
        is_number = isinstance(value, int | float | np.number)
        if not is_number or not LEAST <= value <= MOST:
            said = f"expected a number from {LEAST:g} to {MOST:g}"
            raise Refusal(f"{name}={value!r}: {said}")
    if not low < high:
        raise Refusal(f"low={low:g} is not below high={high:g}")
    count = as_whole(num_steps)
    if count is None or not MIN_STEPS <= count <= MAX_STEPS:
        said = f"expected a whole number from {MIN_STEPS} to {MAX_STEPS:,}"
        raise Refusal(f"num_steps={num_steps!r}: {said}")


def _ratios(
    paths: Sequence[str], numbers: dict[str, Any], name: str
) -> dict[str, float]:
    """Returns path -> the multiple of the first rate that it is in the optimizer."""
    first = float(numbers[paths[0]])
    if len(paths) > 1 and not first > 0.0:
        raise Refusal(
            f"{name}: {paths[0]} is {first:g}, so the other learning rates have no"
            " ratio to it"
        )
    return {
        path: 1.0 if path == paths[0] else float(numbers[path]) / first
        for path in paths
    }
