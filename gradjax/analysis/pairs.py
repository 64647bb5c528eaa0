"""Comparison of two settings by their paired differences over common seeds.

Seed i gives both settings the same initial parameters and the same batches, so the
difference of their values varies less than either value.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.statistics import Interval, check_values, student_interval
from gradjax.errors import Refusal

MAX_EXACT = 14  # pairs; 2**14 assignments of signs are enumerated


class PairedDifference(NamedTuple):
    """The differences of two settings over their common seeds."""

    interval: Interval  # the mean of first - second with Student's interval
    p_value: float  # two-sided, of the hypothesis that the mean difference is 0
    effect: float  # Cohen's d of the differences with Hedges' factor; NaN for one pair
    num_pairs: int


def paired_difference(
    first: Any, second: Any, confidence: float = 0.95
) -> PairedDifference:
    """Computes the mean difference over pairs with Student's interval and t test.

        t = mean(d) / (std(d) / sqrt(n)),    d = first - second

    If all differences are equal and not 0, Student's interval has no width and t is
    infinite. Then the p-value is that of the sign-flip test, 2**(1 - n).

    Args:
      first: f64[n], one value per common seed, finite.
      second: f64[n], the values of the other setting at the same seeds, finite.
      confidence: the probability that the interval covers the mean difference.

    Returns:
      The difference. With one pair the bounds, the p-value and the effect are NaN.

    Raises:
      Refusal: different lengths, no values, or a value that is not finite.

    Source:
      Student, "The Probable Error of a Mean", Biometrika 6, 1908.
    """
    differences = _differences(first, second)
    interval = student_interval(differences, confidence)
    count = differences.size
    if count == 1:
        return PairedDifference(interval, np.nan, np.nan, 1)
    return PairedDifference(
        interval, _student_p_value(differences), hedges_effect(differences), count
    )


def hedges_effect(differences: Any) -> float:
    """Computes the effect size of paired differences: J mean / std.

    The quotient is too large on average for few pairs. Hedges' exact factor corrects
    it: J = Gamma(f / 2) / (sqrt(f / 2) Gamma((f - 1) / 2)) with f = n - 1. With two
    pairs J is 0, because the mean of the quotient is then infinite.

    Args:
      differences: f64[n], n >= 2, finite.

    Returns:
      The effect; 0 if all differences are 0, infinite if they are equal and not 0.

    Source:
      L. V. Hedges, "Distribution Theory for Glass's Estimator of Effect Size and
      Related Estimators", Journal of Educational Statistics 6, 1981.
    """
    differences = check_values(differences, "differences")
    if differences.size < 2:
        raise Refusal("an effect size needs at least 2 differences")
    from scipy import special

    freedom = differences.size - 1
    deviation = differences.std(ddof=1)
    mean = differences.mean()
    if deviation == 0:
        return 0.0 if mean == 0 else float(np.copysign(np.inf, mean))
    if freedom == 1:
        return 0.0
    factor = np.exp(special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2))
    return float(factor / np.sqrt(freedom / 2) * mean / deviation)


def sign_flip_p_value(
    first: Any, second: Any, num_samples: int = 100_000, seed: int = 0
) -> float:
    """Computes the two-sided p-value of the sign-flip permutation test.

    Under the hypothesis that the settings are exchangeable at each seed, each
    difference is equally likely with either sign. The p-value is the share of the
    assignments of signs whose absolute mean is at least the observed one. It is exact
    for up to 14 pairs. It is at least 2**(1 - n), so a lower level cannot be reached.

    Args:
      first: f64[n].
      second: f64[n].
      num_samples: the number of random assignments for more than 14 pairs.
      seed: the seed of these assignments.

    Returns:
      The p-value, in (0, 1].

    Source:
      R. A. Fisher, "The Design of Experiments", 1935, section 21; for the sampled test
      the observed assignment is counted as well (Phipson and Smyth, 2010).
    """
    differences = _differences(first, second)
    observed = abs(differences.sum()) * (1 - 1e-12)  # equal sums differ by rounding
    if differences.size <= MAX_EXACT:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=differences.size)))
        return float((abs(signs @ differences) >= observed).mean())
    random = np.random.default_rng(seed)
    signs = random.choice((1.0, -1.0), (num_samples, differences.size))
    reached = (abs(signs @ differences) >= observed).sum()
    return float((reached + 1) / (num_samples + 1))


def probability_of_improvement(first: Any, second: Any) -> float:
    """Computes the share of pairs of values in which the first is the larger one.

        P(first > second) + P(first = second) / 2

    over all n m pairs of a value of each: the statistic U of Mann and Whitney divided
    by n m. It is 0.5 for identical values. A diverged seed may be given as -inf.

    Args:
      first: f64[n].
      second: f64[m].

    Returns:
      The share, in [0, 1].

    Source:
      Mann and Whitney, Annals of Mathematical Statistics 18, 1947.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if not first.size or not second.size:
        raise Refusal("a comparison needs at least one value of each")
    larger = first[:, None] > second[None, :]
    equal = first[:, None] == second[None, :]
    return float(larger.mean() + equal.mean() / 2)


def _student_p_value(differences: np.ndarray) -> float:
    deviation = differences.std(ddof=1)
    if deviation == 0:
        return 1.0 if differences[0] == 0 else 2.0 ** (1 - differences.size)
    from scipy import stats

    found: Any = stats.ttest_1samp(differences, 0.0)
    return float(found.pvalue)


def _differences(first: Any, second: Any) -> np.ndarray:
    first, second = check_values(first, "first"), check_values(second, "second")
    if first.shape != second.shape:
        raise Refusal(
            f"{first.size} and {second.size} values: pairs need one of each per seed"
        )
    return first - second
