"""The interquartile mean over seeds and problems, with a stratified bootstrap."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradjax.analysis.statistics import Interval, check_probability, check_values
from gradjax.errors import Refusal

LEAST_VALUES = 20


def interquartile_mean(values: Any) -> float:
    """Computes the mean of the values between the quartiles.

    A quarter of the weight is removed at each end. If n is not divisible by 4, the
    values at the borders count in part, so that exactly n / 2 of the weight remains.
    For 0, 1, 2, 3, 50 the weights are 0, 0.75, 1, 0.75, 0. (`scipy.stats.trim_mean`
    removes only complete values.)

    Args:
      values: f64[n], n >= 1, finite.

    Returns:
      The mean.

    Source:
      Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical
      Precipice", 2021, arXiv:2108.13264, with exact weights at the borders.
    """
    return float(_weighted_mean(np.sort(check_values(values))))


def _weighted_mean(ordered: np.ndarray) -> np.ndarray:
    """Returns the interquartile mean over the last axis, which is sorted."""
    count = ordered.shape[-1]
    edges = np.arange(count + 1)
    inside = np.clip(edges, count / 4, 3 * count / 4)
    return ordered @ np.diff(inside) / (count / 2)


def interquartile_interval(
    strata: Sequence[Any],
    confidence: float = 0.95,
    num_samples: int = 9_999,
    seed: int = 0,
) -> Interval:
    """Computes the interquartile mean of all values with a stratified bootstrap.

    The seeds of each problem are resampled within that problem. The interval is
    bias-corrected and accelerated (BCa).

    Args:
      strata: one array f64[seeds] per problem, finite and comparable (for instance
        values divided by a reference); at least 20 values in all.
      confidence: the probability that the interval is to cover. With fewer than ten
        seeds per problem it covers less than this.
      num_samples: the number of bootstrap samples.
      seed: the seed of the bootstrap, so that equal input gives an equal interval.

    Returns:
      Interval(interquartile mean, low, high).

    Raises:
      Refusal: fewer than 20 values, or a problem with fewer than 2.

    Source:
      Efron, "Better Bootstrap Confidence Intervals", JASA 82, 1987;
      `scipy.stats.bootstrap`.
    """
    check_probability("confidence", confidence)
    groups = [check_values(one, f"strata[{i}]") for i, one in enumerate(strata)]
    total = sum(one.size for one in groups)
    if total < LEAST_VALUES or min(one.size for one in groups) < 2:
        raise Refusal(
            f"{total} values in {len(groups)} problems: a bootstrap of the "
            f"interquartile mean needs at least {LEAST_VALUES}, and 2 of each problem"
        )
    estimate = interquartile_mean(np.concatenate(groups))
    if all(np.ptp(one) == 0 for one in groups):
        return Interval(estimate, estimate, estimate)
    from scipy import stats

    found = stats.bootstrap(
        groups,
        _pooled_mean,
        confidence_level=confidence,
        n_resamples=num_samples,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(estimate, float(found.low), float(found.high))


def _pooled_mean(*parts: np.ndarray, axis: int) -> np.ndarray:
    """Returns the interquartile mean of all parts, joined along the given axis."""
    moved = [np.moveaxis(part, axis, -1) for part in parts]
    shape = np.broadcast_shapes(*(part.shape[:-1] for part in moved))
    pooled = np.concatenate(
        [np.broadcast_to(part, (*shape, part.shape[-1])) for part in moved], axis=-1
    )
    return _weighted_mean(np.sort(pooled, axis=-1))
