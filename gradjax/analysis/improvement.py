"""The probability that one optimizer outperforms another, over common seeds."""

from typing import Any

import numpy as np

from gradjax.analysis.statistics import Interval, check_probability
from gradjax.errors import Refusal


def probability_of_outperforming(
    first: Any, second: Any, confidence: float = 0.95
) -> Interval:
    """Computes the share of common seeds at which the first value is the larger one.

        P(A > B) = mean over seeds of [a > b] + [a = b] / 2

    The interval is that of Clopper and Pearson for a share, which covers at least as
    often as it says with any number of seeds. Bouthillier et al. take the percentile
    bootstrap with 29 seeds; with the 5 or 10 of a usual comparison that is too narrow.
    A tie counts as half a success, which varies less than a success or a failure, so
    the interval is then wider than needed. They call a difference significant if the
    lower bound is above 0.5, and meaningful if the estimate is also at least 0.75.

    Args:
      first: f64[n], one value per common seed; -inf for a seed without a result.
      second: f64[n], the values of the other at the same seeds.
      confidence: the probability that the interval covers the share.

    Returns:
      The share with its interval. With one seed the bounds are NaN.

    Raises:
      Refusal: no values, NaN, or different numbers of values.

    Source:
      Bouthillier et al., "Accounting for Variance in Machine Learning Benchmarks",
      2021, arXiv:2103.03098, section 4; Clopper and Pearson, Biometrika 26, 1934.
    """
    from scipy import stats

    check_probability("confidence", confidence)
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise Refusal("P(A > B) needs one value of each per common seed, f64[seeds]")
    if np.isnan(first).any() or np.isnan(second).any():
        raise Refusal("P(A > B): a value is NaN; a seed without a result is -inf")
    wins = (first > second) + 0.5 * (first == second)
    count, successes = wins.size, float(wins.sum())
    if count == 1:
        return Interval(successes, np.nan, np.nan)
    outside, failures = (1 - confidence) / 2, count - successes
    beta = stats.beta
    low = beta.ppf(outside, successes, failures + 1) if successes else 0.0
    high = beta.isf(outside, successes + 1, failures) if failures else 1.0
    return Interval(successes / count, float(low), float(high))
