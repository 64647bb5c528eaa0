"""What tuning costs: the best value of k independent trials as a function of k.

The trials are independent and equally distributed, as those of a uniform random search
are. A diverged trial has the value NaN and counts as the worst.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.ranks import worst_if_diverged
from gradjax.analysis.statistics import check_probability
from gradjax.errors import Refusal


class Band(NamedTuple):
    """Bounds of the median of the best of k trials, for several k at once."""

    median: np.ndarray  # f64[counts]
    low: np.ndarray  # f64[counts]; -inf or inf where the sample bounds nothing
    high: np.ndarray  # f64[counts]


def mean_best_of(values: Any, counts: Any, direction: str) -> np.ndarray:
    """Computes the mean best of k draws with replacement from the trials.

        V(k) = sum over i of y_(i) [(i / n)^k - ((i - 1) / n)^k]

    for values y_(1) <= ... <= y_(n) to be maximised. V is biased towards worse values.

    Args:
      values: f64[trials].
      counts: i64[counts], numbers k >= 1 of trials.
      direction: "min" or "max".

    Returns:
      f64[counts]; the worst value, infinite, where a diverged trial has weight.

    Source:
      Dodge et al., "Show Your Work", 2019, arXiv:1909.03004.
    """
    ordered, counts = _ordered(values, direction), _counts(counts)
    share = np.arange(ordered.size + 1) / ordered.size
    weights = np.diff(share ** counts[:, None], axis=1)
    return _sign(direction) * _weighted(weights, ordered)


def mean_best_of_subsets(values: Any, counts: Any, direction: str) -> np.ndarray:
    """Computes the mean best of k different trials: the average over all subsets.

        U(k) = sum over i of y_(i) C(i - 1, k - 1) / C(n, k)

    for values y_(1) <= ... <= y_(n) to be maximised. U is unbiased for k <= n.

    Args:
      values: f64[trials].
      counts: i64[counts], numbers 1 <= k <= n of trials.
      direction: "min" or "max".

    Returns:
      f64[counts].

    Source:
      Tang et al., "Showing Your Work Doesn't Always Work", 2020, arXiv:2004.13705.
    """
    ordered, counts = _ordered(values, direction), _counts(counts)
    if (counts > ordered.size).any():
        raise Refusal(
            f"the best of {counts.max():g} of {ordered.size} trials: too many"
        )
    from scipy import special

    rank = np.arange(ordered.size)  # i - 1
    chosen: Any = special.comb(rank, counts[:, None] - 1)
    weights = chosen / special.comb(ordered.size, counts[:, None])
    return _sign(direction) * _weighted(weights, ordered)


def median_best_of(values: Any, counts: Any, direction: str) -> np.ndarray:
    """Computes the median of the best of k trials of the empirical distribution.

    The best of k draws has the distribution function F^k, whose median is the quantile
    of F at 2^(-1/k).

    Args:
      values: f64[trials].
      counts: f64[counts], numbers k >= 1 of trials.
      direction: "min" or "max".

    Returns:
      f64[counts]: values of trials.

    Source:
      Lourie et al., "Show Your Work with Confidence", 2023, arXiv:2311.09480.
    """
    ordered, counts = _ordered(values, direction), _counts(counts)
    share = np.arange(ordered.size + 1) / ordered.size
    extended = np.concatenate([[-np.inf], ordered, [np.inf]])
    return _sign(direction) * _quantiles(extended, share, counts)


def best_of_band(
    values: Any, counts: Any, direction: str, confidence: float = 0.95
) -> Band:
    """Computes a simultaneous band for the median of the best of k trials.

    For every continuous distribution, the band holds for all k at once with the given
    probability, whatever the number of trials. It inverts the Learned-Miller-DeStefano
    band of the distribution function (highest density intervals), which the package
    opda computes. Only the ranks of the values enter, so ties and diverged trials are
    allowed.

    Args:
      values: f64[trials], independent and equally distributed.
      counts: f64[counts], numbers k >= 1 of trials.
      direction: "min" or "max".
      confidence: the probability that the complete band is right.

    Returns:
      The band. A bound beyond the observed values is infinite.

    Raises:
      Refusal: no values, a count below 1, or opda is not installed.

    Source:
      Lourie et al., 2023, arXiv:2311.09480.
    """
    ordered, counts = _ordered(values, direction), _counts(counts)
    check_probability("confidence", confidence)
    below, above = _band_shares(ordered.size, confidence)
    extended = np.concatenate([[-np.inf], ordered, [np.inf]])
    # The values are to be maximised here: a smaller share below means larger values.
    low = _quantiles(extended, above, counts)
    high = _quantiles(extended, below, counts)
    median = median_best_of(values, counts, direction)
    if direction == "max":
        return Band(median, low, high)
    return Band(median, -high, -low)


def overtaking(first: Any, second: Any, direction: str) -> int | None:
    """Returns the number of trials from which on the first optimizer is ahead.

    It is the smallest k such that the median best of k trials of the first optimizer is
    better than that of the second one for this k and for all larger k up to the number
    of trials.

    Args:
      first: f64[trials] of the first optimizer.
      second: f64[trials] of the second optimizer.
      direction: "min" or "max".

    Returns:
      The number of trials; None if the first optimizer is not ahead at the end.
    """
    counts = np.arange(1, min(np.size(first), np.size(second)) + 1)
    ours = median_best_of(first, counts, direction)
    theirs = median_best_of(second, counts, direction)
    is_ahead = ours < theirs if direction == "min" else ours > theirs
    if not is_ahead[-1]:
        return None
    behind = np.flatnonzero(~is_ahead)
    return int(counts[behind[-1] + 1]) if behind.size else 1


def _ordered(values: Any, direction: str) -> np.ndarray:
    """Returns the values in ascending order, with signs such that larger is better."""
    values = worst_if_diverged(values, direction)
    if values.ndim != 1 or not values.size:
        raise Refusal(f"values of shape {values.shape}; expected [trials]")
    return np.sort(_sign(direction) * values)


def _sign(direction: str) -> float:
    return 1.0 if direction == "max" else -1.0


def _counts(counts: Any) -> np.ndarray:
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 1 or not (counts >= 1).all():
        raise Refusal(f"counts {counts.tolist()}: expected numbers of trials, >= 1")
    return counts


def _weighted(weights: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    terms = np.where(weights == 0, 0.0, weights * np.where(weights == 0, 0.0, ordered))
    return terms.sum(axis=1)


def _quantiles(
    extended: np.ndarray, share: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Returns the least value whose share of values at most as large reaches 2^(-1/k).

    Args:
      extended: f64[n + 2], the ascending values between -inf and inf.
      share: f64[n + 1], the distribution function from each value on, from -inf.
      counts: f64[counts], the numbers k.
    """
    wanted = 0.5 ** (1 / counts) - 1e-12
    return extended[np.searchsorted(np.append(share, 1.0), wanted, side="left")]


@functools.cache
def _band_shares(count: int, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bounds of the distribution function at -inf and at each value.

    opda finds them by simulation. Its generator is seeded for each number of values, so
    that the bounds do not depend on earlier calls.
    """
    try:
        from opda.nonparametric import EmpiricalDistribution
    except ImportError as error:
        raise Refusal(
            "bands of the best of k trials need the package opda: "
            'pip install "gradjax[report]"'
        ) from error
    ranks = np.arange(1.0, count + 1)
    low, _, high = EmpiricalDistribution.confidence_bands(
        ranks,
        confidence,
        a=0.0,
        b=count + 1.0,
        generator=np.random.default_rng(0),
        n_jobs=1,
    )
    at = np.arange(0.0, count + 1)
    return low.cdf(at), high.cdf(at)
