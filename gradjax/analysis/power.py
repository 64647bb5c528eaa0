"""Which differences a number of common seeds can show, before anything runs.

An effect is a mean difference divided by the standard deviation of the differences.
"""

from typing import Any

import numpy as np

from gradjax.analysis.statistics import check_probability
from gradjax.errors import Refusal


def power(effect: float, num_pairs: int, level: float = 0.05) -> float:
    """Computes the power of the two-sided paired t test.

    The statistic follows a noncentral t distribution with n - 1 degrees of freedom and
    noncentrality effect * sqrt(n).

    Args:
      effect: the mean difference divided by the standard deviation of the differences.
      num_pairs: the number n >= 2 of common seeds.
      level: the significance level, in (0, 1).

    Returns:
      The probability that the test finds the effect.
    """
    check_probability("level", level)
    if num_pairs < 2:
        raise Refusal(f"num_pairs={num_pairs}: a t test needs at least 2 pairs")
    from scipy import stats

    freedom = num_pairs - 1
    bound = stats.t.ppf(1 - level / 2, freedom)
    shift = abs(effect) * np.sqrt(num_pairs)
    # The lower tail is at most the normal probability below -shift. Far from 0 SciPy
    # gives NaN, where the tail is smaller than 1e-7.
    lower = np.nan_to_num(stats.nct.cdf(-bound, freedom, shift))
    return float(stats.nct.sf(bound, freedom, shift) + lower)


def smallest_effect(
    num_pairs: int, level: float = 0.05, wanted_power: float = 0.8
) -> float:
    """Computes the smallest effect that the paired t test finds with a given power.

    Args:
      num_pairs: the number n >= 2 of common seeds.
      level: the significance level. At the first step of Holm's method it is the level
        of the family divided by the number of its tests.
      wanted_power: the probability of finding the effect.

    Returns:
      The mean difference in standard deviations of the paired differences.
    """
    check_probability("wanted_power", wanted_power)
    from scipy import optimize

    high = 1.0
    while power(high, num_pairs, level) < wanted_power:
        high *= 2
    found: Any = optimize.brentq(
        lambda effect: power(effect, num_pairs, level) - wanted_power, 0.0, high
    )
    return float(found)


def seeds_needed(
    effect: float, level: float = 0.05, wanted_power: float = 0.8
) -> int | None:
    """Computes the least number of common seeds that finds an effect.

    Args:
      effect: the mean difference in standard deviations of the paired differences.
      level: the significance level.
      wanted_power: the probability of finding the effect.

    Returns:
      The number of seeds, at least 2; None if more than a million are needed.
    """
    if not np.isfinite(effect):
        return 2
    low, high = 1, 2
    while power(effect, high, level) < wanted_power:
        low, high = high, high * 2
        if high > 1_000_000:
            return None
    while high - low > 1:  # the power rises with the number of seeds
        middle = (low + high) // 2
        if power(effect, middle, level) < wanted_power:
            low = middle
        else:
            high = middle
    return high
