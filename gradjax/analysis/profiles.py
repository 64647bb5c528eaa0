"""Performance profiles: how often an optimizer is within a factor of the fastest.

The inputs are times to target, in seconds or gradients, with inf where the target was
not reached.
"""

from typing import Any

import numpy as np

from gradjax.errors import Refusal

MAX_RATIO = 4.0  # AlgoPerf's largest ratio; larger ones count as not reached
_NUM_POINTS = 100  # of AlgoPerf's trapezoid


def time_ratios(times: Any) -> np.ndarray:
    """Divides each time to target by the shortest one on the same problem.

    Args:
      times: f64[optimizers, problems], positive; inf where the target was missed.

    Returns:
      f64[optimizers, problems], at least 1. On a problem whose target nobody reached
      all ratios are inf.

    Raises:
      Refusal: an array of another rank, or a time that is NaN or not positive.
    """
    times = np.asarray(times, np.float64)
    if times.ndim != 2 or not times.size:
        raise Refusal(f"times of shape {times.shape}; expected [optimizers, problems]")
    if np.isnan(times).any() or (times <= 0).any():
        raise Refusal("times to target must be positive, or inf where it was missed")
    fastest = times.min(axis=0)
    reached = np.isfinite(fastest)
    return np.where(reached, times / np.where(reached, fastest, 1.0), np.inf)


def profile(ratios: Any, factors: Any) -> np.ndarray:
    """Computes the share of problems on which the ratio is at most a factor.

    Args:
      ratios: f64[optimizers, problems] of `time_ratios`.
      factors: f64[factors], each at least 1.

    Returns:
      f64[optimizers, factors], in [0, 1] and rising along the second axis.

    Source:
      Dolan and More, "Benchmarking Optimization Software with Performance Profiles",
      Mathematical Programming 91, 2002.
    """
    ratios, factors = np.asarray(ratios, float), np.asarray(factors, float)
    return (ratios[:, :, None] <= factors).mean(axis=1)


def profile_integral(ratios: Any, max_ratio: float = MAX_RATIO) -> np.ndarray:
    """Computes the integral of the profile over [1, max_ratio], divided by its length.

    The profile is a step function, so the integral is exact:

        mean over problems of max(0, (max_ratio - ratio) / (max_ratio - 1))

    It depends on the optimizers that are compared, because the fastest one sets the
    ratios.

    Args:
      ratios: f64[optimizers, problems] of `time_ratios`.
      max_ratio: the largest factor, more than 1.

    Returns:
      f64[optimizers], in [0, 1]; 1 is the fastest on all problems.

    Source:
      Dahl et al., "Benchmarking Neural Network Training Algorithms", 2023,
      arXiv:2306.07179, section 4.5; the closed form follows from the definition.
    """
    _check_max(max_ratio)
    ratios = np.minimum(np.asarray(ratios, float), max_ratio)
    return ((max_ratio - ratios) / (max_ratio - 1)).mean(axis=1)


def algoperf_score(ratios: Any, max_ratio: float = MAX_RATIO) -> np.ndarray:
    """Computes the integral of the profile as AlgoPerf's published scores do.

    It is the trapezoidal rule over 100 equally spaced factors, which differs from the
    exact integral by rounding at the steps of the profile.

    Args:
      ratios: f64[optimizers, problems] of `time_ratios`.
      max_ratio: the largest factor.

    Returns:
      f64[optimizers].
    """
    _check_max(max_ratio)
    factors = np.linspace(1.0, max_ratio, _NUM_POINTS)
    return np.trapezoid(profile(ratios, factors), factors, axis=1) / (max_ratio - 1)


def _check_max(max_ratio: float) -> None:
    if not max_ratio > 1:
        raise Refusal(f"max_ratio={max_ratio}: must be more than 1")
