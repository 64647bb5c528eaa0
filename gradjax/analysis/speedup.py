"""Speed-up of one optimizer over another, as a number with an interval."""

from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.statistics import check_probability
from gradjax.errors import Refusal

_NUM_POINTS = 1_001  # horizons between the first and the last, equal in their ratio


class Speedup(NamedTuple):
    """The ratio of two horizons that end at the same value."""

    estimate: float  # NaN if the value is not met between the horizons that were run
    low: float  # 0 if the longest horizon does not show that the value is met
    high: float  # inf if the shortest horizon may already meet it


def speedup(
    horizons: Any,
    ours: Any,
    horizon: float,
    theirs: Any,
    direction: str,
    confidence: float = 0.95,
) -> Speedup:
    """Computes by which factor our horizon can be shorter than theirs.

    Our values at the end of runs of several horizons, each with its schedule fitted to
    it, are interpolated for each seed linearly over the logarithm of the horizon. The
    estimate is their horizon, divided by the shortest of ours at which the mean of our
    values reaches the mean of theirs. The interval holds the horizons at which the
    paired t test over seeds does not reject that both ends are equal (Fieller's
    inversion). It has the coverage of Student's interval for few seeds as well, where a
    percentile bootstrap does not.

    Args:
      horizons: f64[n], n >= 2, lengths of our runs, in gradients or seconds, ascending.
      ours: f64[n, seeds], our values at the end of each.
      horizon: the length of their runs, in the same unit.
      theirs: f64[seeds], their values at the same seeds, at least 2.
      direction: "min" or "max".
      confidence: the probability that the interval covers the ratio.

    Returns:
      The speed-up; more than 1 if ours is faster.

    Raises:
      Refusal: shapes that do not fit, fewer than 2 seeds, horizons not ascending.

    Source:
      E. C. Fieller, "Some Problems in Interval Estimation", JRSS B 16, 1954.
    """
    check_probability("confidence", confidence)
    horizons, ours, theirs = _check(horizons, ours, theirs, direction)
    logs = np.log(horizons)
    points = np.linspace(logs[0], logs[-1], _NUM_POINTS)
    values = np.stack([np.interp(points, logs, seed) for seed in ours.T], axis=1)
    sign = 1.0 if direction == "min" else -1.0
    gap, half = _student(sign * (values - theirs), confidence)
    ratios = horizon / np.exp(points)
    possible = np.flatnonzero(abs(gap) <= half)  # the test does not tell the ends apart
    reached = np.flatnonzero(gap <= 0)
    met = ratios[reached[0]] if reached.size and gap[0] > 0 else np.nan
    return Speedup(float(met), *_bounds(ratios, gap, possible))


def _bounds(
    ratios: np.ndarray, gap: np.ndarray, possible: np.ndarray
) -> tuple[float, float]:
    """Returns the least and the largest ratio that the test does not reject."""
    if not possible.size and (gap > 0).all():
        return 0.0, float(ratios[-1])  # worse at each horizon
    if not possible.size and (gap < 0).all():
        return float(ratios[0]), np.inf  # better at each horizon
    if not possible.size:  # it passes from worse to better between two points
        after = int((gap < 0).argmax())
        return float(ratios[after]), float(ratios[after - 1])
    first, last = possible[0], possible[-1]
    is_last_open = last == len(ratios) - 1
    low = 0.0 if is_last_open else float(ratios[last])
    return low, np.inf if first == 0 else float(ratios[first])


def _student(differences: np.ndarray, confidence: float) -> tuple[np.ndarray, Any]:
    """Returns the mean over seeds and the half width of Student's interval."""
    from scipy import stats

    count = differences.shape[1]
    quantile = stats.t.ppf(0.5 + confidence / 2, count - 1)
    deviation = differences.std(axis=1, ddof=1)
    return differences.mean(axis=1), quantile * deviation / np.sqrt(count)


def _check(
    horizons: Any, ours: Any, theirs: Any, direction: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    horizons, ours = np.asarray(horizons, float), np.asarray(ours, float)
    theirs = np.asarray(theirs, float)
    if direction not in ("min", "max"):
        raise Refusal(f"direction={direction!r}; expected 'min' or 'max'")
    if theirs.ndim != 1 or theirs.size < 2 or horizons.ndim != 1 or horizons.size < 2:
        raise Refusal("a speed-up needs at least 2 horizons and 2 common seeds")
    if ours.shape != (horizons.size, theirs.size):
        raise Refusal(
            f"values of shape {ours.shape}; expected [horizons, seeds], here "
            f"{(horizons.size, theirs.size)}"
        )
    if (horizons <= 0).any() or (np.diff(horizons) <= 0).any():
        raise Refusal(f"horizons {horizons.tolist()}: must be positive and ascending")
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        raise Refusal("a speed-up needs runs that did not diverge")
    return horizons, ours, theirs
