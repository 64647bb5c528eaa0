"""The learning-rate range test: which rate lowers the loss fastest, and which diverges.

In one short run the learning rate rises exponentially, and the loss is smoothed by an
exponential moving average whose bias towards its start is removed:

    eta_k = low (high / low)^(k / (K - 1))            k = 0, ..., K - 1
    s_k   = sum_{j <= k} b^(k - j) l_j / sum_{j <= k} b^(k - j),     b = 0.98

Here l_k is the loss before the update with the rate eta_k. The loss diverges, and the
test ends, at the first step at which one of the following is true:

- s exceeds 4 times its least value so far;
- the loss is not finite;
- the loss grew by a factor of 4 in six successive steps, by a larger factor in each.
  Noise does not do this, and neither does a loss that oscillates, whose factors become
  smaller. It shows what s, a mean of about fifty losses, shows much later;
- the loss has given back its fall: after s fell, the median of five losses is above the
  start by three standard deviations of one loss. The loss of a network whose units
  have died is that of a guess, which may be less than 4 times the least value.

The suggestion is the rate at which s falls fastest over log(eta) before its least
value. The divergence rate is the rate with which the rise of the loss to its peak
began. For gradient descent on a quadratic with one curvature L, where the loss is
multiplied by (1 - eta L)^2 in each step, it is the first rate above 2 / L. With several
curvatures and without noise it is larger, because the mode of the largest curvature has
almost vanished and must first grow to the size of the others.

Source: Smith 2017, Cyclical Learning Rates for Training Neural Networks, section 3.3,
for the test; Gugger 2018, How Do You Find A Good Learning Rate, for the exponential
rise, the average and the end at 4 times the least value. Differs from these in the
other three ends, in the divergence rate, in the check that the loss falls at all, and
in that several seeds give a median and a range.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SMOOTHING = 0.98
FACTOR = 4.0  # by which a loss must grow to diverge
SKIPPED = 10  # first steps without a suggestion: the average is still of a few losses
_NUM_RISES = 6  # successive ones
_NUM_MEDIAN = 5  # losses
_ERRORS = 3.0  # standard deviations that are not noise
_ROUNDING = 1e-6  # of a loss; a smaller fall is one of rounding errors
_NORMAL_MEDIAN = 0.6745  # the median of |x| of a standard normal x


class Outcome(NamedTuple):
    """The result of the test with one seed.

    Attributes:
      smoothed: f64[steps], NaN after the end of the test.
      num_tested: the number of steps until the end of the test, this one included.
      suggestion: the learning rate at which the smoothed loss falls fastest; None if it
        does not fall by more than its noise.
      divergence: the learning rate with which the last rise of the loss began; None if
        the loss does not diverge.
    """

    smoothed: np.ndarray
    num_tested: int
    suggestion: float | None
    divergence: float | None


class Spread(NamedTuple):
    """The median and the range of a rate over the seeds that have this rate."""

    median: float  # of the logarithms
    low: float
    high: float
    num_seeds: int


def rates(low: float, high: float, num_steps: int) -> np.ndarray:
    """Returns the learning rates of the test, f64[steps], in equal ratios.

    Args:
      low: the first rate, above 0.
      high: the last rate, above `low`.
      num_steps: the number of rates, at least 2.
    """
    return low * (high / low) ** (np.arange(num_steps) / (num_steps - 1))


def smooth(losses: np.ndarray, smoothing: float = SMOOTHING) -> np.ndarray:
    """Computes the debiased exponential moving average of losses.

    Args:
      losses: f[steps].
      smoothing: b of the formula above, in [0, 1).

    Returns:
      f64[steps]; from the first loss that is not finite on, it is not finite either.
    """
    means, total, weight = np.empty(len(losses)), 0.0, 0.0
    for k, loss in enumerate(np.asarray(losses, np.float64)):
        total = smoothing * total + float(loss)
        weight = smoothing * weight + 1.0
        means[k] = total / weight
    return means


def outcome(rates: np.ndarray, losses: np.ndarray) -> Outcome:
    """Finds the end of the test, the suggestion and the divergence rate of one seed.

    The smoothed loss counts as fallen if its least value lies three standard errors
    below its value after the first ten steps. Without this check, the noise of the
    batches would give a suggestion. Where a loss l is negative, 4 l stands for
    l + 3 |l|.

    Args:
      rates: f64[steps], above 0 and increasing.
      losses: f[steps], the loss before the update with each rate; inf or NaN from the
        step on at which the run diverged.
    """
    losses = np.asarray(losses, np.float64)
    is_finite = np.isfinite(losses)
    num_finite = len(losses) if is_finite.all() else int(is_finite.argmin())
    smoothed = smooth(losses)
    end = _end(losses[:num_finite], smoothed[:num_finite])
    if end is None and num_finite < len(losses):
        end = num_finite
    before = len(losses) if end is None else end  # steps before the end
    smoothed[before + 1 :] = np.nan
    suggestion = _steepest(rates[:before], losses[:before], smoothed[:before])
    divergence = None
    if end is not None:
        divergence = float(rates[_rise(losses[: end + 1], smoothed[:end])])
    return Outcome(smoothed, min(before + 1, len(losses)), suggestion, divergence)


def spread(values: Sequence[float | None]) -> Spread | None:
    """Returns the median and the range of rates over seeds.

    Args:
      values: for each seed a rate above 0, or None if it has none.

    Returns:
      None if not more than half of the seeds have a rate, because then the median seed
      has none.
    """
    known = [value for value in values if value is not None]
    if 2 * len(known) <= len(values):
        return None
    middle = math.exp(float(np.median(np.log(known))))
    return Spread(middle, min(known), max(known), len(known))


def _end(losses: np.ndarray, smoothed: np.ndarray) -> int | None:
    """Returns the step at which finite losses diverge; None if they do not."""
    least = np.minimum.accumulate(smoothed)
    is_over = _exceeds(smoothed, least) | _grows(losses)
    is_over |= _is_given_back(losses, smoothed)
    over = np.flatnonzero(is_over)
    return int(over[0]) if over.size else None


def _exceeds(values: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Returns where values are more than 4 times others: bool[steps]."""
    return values > least + (FACTOR - 1.0) * np.abs(least)


def _grows(losses: np.ndarray) -> np.ndarray:
    """Returns where a loss ended six rises by growing factors, together 4."""
    found = np.zeros(len(losses), bool)
    if len(losses) > _NUM_RISES and losses.min() > 0.0:
        factors = np.diff(np.log(losses))
        runs = np.lib.stride_tricks.sliding_window_view(factors, _NUM_RISES)
        is_growing = (runs[:, 0] > 0.0) & (np.diff(runs, axis=1) > 0.0).all(axis=1)
        found[_NUM_RISES:] = is_growing & (runs.sum(axis=1) > math.log(FACTOR))
    return found


def _is_given_back(losses: np.ndarray, smoothed: np.ndarray) -> np.ndarray:
    """Returns where the loss has risen above its start after a fall: bool[steps]."""
    found, fall = np.zeros(len(losses), bool), _first_fall(losses, smoothed)
    if fall is None:
        return found
    windows = np.lib.stride_tricks.sliding_window_view(losses, _NUM_MEDIAN)
    medians = np.median(windows, axis=1)
    level = smoothed[SKIPPED] + _ERRORS * _deviation(losses, smoothed)
    found[_NUM_MEDIAN - 1 :] = medians > level
    found[: fall + _NUM_MEDIAN] = False
    return found


def _first_fall(losses: np.ndarray, smoothed: np.ndarray) -> int | None:
    """Returns the first step at which the smoothed loss has fallen by its noise."""
    counts = np.arange(SKIPPED, len(losses)) + 1
    if not counts.size:
        return None
    errors = _ERRORS * np.sqrt(_variance(SKIPPED + 1) + _variance(counts))
    falls = smoothed[SKIPPED] - smoothed[SKIPPED:] - _ROUNDING * abs(smoothed[SKIPPED])
    fallen = np.flatnonzero(falls > errors * _deviation(losses, smoothed))
    return SKIPPED + int(fallen[0]) if fallen.size else None


def _deviation(losses: np.ndarray, smoothed: np.ndarray) -> float:
    """Estimates the standard deviation of one loss, until the least smoothed loss.

    The estimate is the median difference of two successive losses, which a few large
    differences do not change, over its value for a standard normal loss.
    """
    before = losses[: max(SKIPPED, int(smoothed.argmin())) + 1]
    median = float(np.median(np.abs(np.diff(before)))) if len(before) > 1 else 0.0
    return median / (_NORMAL_MEDIAN * math.sqrt(2.0))


def _variance(count: np.ndarray | int) -> np.ndarray:
    """Returns the variance of the average of `count` independent losses of variance 1.

    It is the sum of the squared weights, (1 - b) (1 + b^n) / ((1 + b) (1 - b^n)).
    """
    power = SMOOTHING ** np.asarray(count, np.float64)
    return (1.0 - SMOOTHING) / (1.0 + SMOOTHING) * (1.0 + power) / (1.0 - power)


def _steepest(
    rates: np.ndarray, losses: np.ndarray, smoothed: np.ndarray
) -> float | None:
    """Returns the rate at which the smoothed loss falls fastest, if it falls at all.

    The steps before the first one at which it has fallen do not count, because the
    changes of an average of few losses are noise.
    """
    first = _first_fall(losses, smoothed)
    if first is None:
        return None
    part = slice(first - 1, SKIPPED + int(smoothed[SKIPPED:].argmin()) + 1)
    slopes = np.diff(smoothed[part]) / np.diff(np.log(rates[part]))
    return float(rates[first - 1 + int(slopes.argmin())])


def _rise(losses: np.ndarray, smoothed: np.ndarray) -> int:
    """Returns the step whose update began the rise of the loss to its peak.

    The peak is the largest loss between the least smoothed loss and the end, and the
    rise consists of the steps before it in each of which the loss grew.

    Args:
      losses: f64[steps + 1], with that of the step at which the test ended.
      smoothed: f64[steps].
    """
    seen = np.where(np.isfinite(losses), losses, np.inf)
    best = int(smoothed.argmin()) if len(smoothed) else 0
    step = max(best + int(seen[best:].argmax()) - 1, 0)
    while step > 0 and seen[step - 1] < seen[step]:
        step -= 1
    return step
