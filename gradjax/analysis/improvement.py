"""The probability that one optimizer outperforms another, over common seeds."""

from typing import Any

import numpy as np

from gradjax.analysis.statistics import Interval, check_probability
from gradjax.errors import Refusal

_NUM_SAMPLES = 10_000


def probability_of_outperforming(
    first: Any, second: Any, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Computes the share of common seeds at which the first value is the larger one.

        P(A > B) = mean over seeds of [a > b] + [a = b] / 2

    The interval is the percentile bootstrap over seeds, with seeded samples. Where each
    seed gives the same answer it would have no width; then the exact interval of
    Clopper and Pearson takes its place. Bouthillier et al. call a difference
    significant if the lower bound is above 0.5, and meaningful if the estimate is also
    at least 0.75. With few seeds the bootstrap interval is too narrow: theirs is made
    for 29 seeds.

    Args:
      first: f64[n], one value per common seed; -inf for a seed without a result.
      second: f64[n], the values of the other at the same seeds.
      confidence: the probability that the interval covers the share.
      seed: of the samples.

    Returns:
      The share with its interval. With one seed the bounds are NaN.

    Raises:
      Refusal: no values, NaN, or different numbers of values.

    Source:
      Bouthillier et al., "Accounting for Variance in Machine Learning Benchmarks",
      2021, arXiv:2103.03098, section 4; Clopper and Pearson, Biometrika 26, 1934.
    """
    check_probability("confidence", confidence)
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise Refusal("P(A > B) needs one value of each per common seed, f64[seeds]")
    if np.isnan(first).any() or np.isnan(second).any():
        raise Refusal("P(A > B): a value is NaN; a seed without a result is -inf")
    wins = (first > second) + 0.5 * (first == second)
    count, share = wins.size, float(wins.mean())
    outside = (1 - confidence) / 2
    if count == 1:
        return Interval(share, np.nan, np.nan)
    if share in (0.0, 1.0):
        bound = float(outside ** (1 / count))
        return Interval(share, *((bound, 1.0) if share else (0.0, 1 - bound)))
    if (wins == 0.5).all():
        return Interval(0.5, 0.0, 1.0)  # ties say nothing
    samples = np.random.default_rng(seed).choice(wins, (_NUM_SAMPLES, count))
    low, high = np.quantile(samples.mean(axis=1), [outside, 1 - outside])
    return Interval(share, float(low), float(high))
