"""The significance test of training speed records: is a mean below a threshold?"""

from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.statistics import check_values
from gradjax.errors import Refusal


class ThresholdTest(NamedTuple):
    """A one-sided test that a mean is below a threshold."""

    margin: float  # (threshold - mean) sqrt(n); sigma times the normal quantile passes
    p_value: float


def below_threshold(
    values: Any, threshold: float, deviation: float | None = None
) -> ThresholdTest:
    """Tests whether the mean of independent runs is below a threshold.

    With a known standard deviation the test is a z test; otherwise it is Student's test
    with the deviation of the values.

    Args:
      values: f64[n], final losses, to be minimised.
      threshold: the value that the mean must be below.
      deviation: the known standard deviation of a run, positive; None: estimated from
        at least 2 values.

    Returns:
      The margin, in the unit of the values, and the one-sided p-value.

    Source:
      The rules of the modded-nanogpt speed run, 2024, which take the deviation of the
      validation loss as known.
    """
    values = check_values(values)
    margin = float((threshold - values.mean()) * np.sqrt(values.size))
    return ThresholdTest(margin, _p_value(margin, values, deviation))


def _p_value(margin: float, values: np.ndarray, deviation: float | None) -> float:
    from scipy import stats

    if deviation is not None:
        if not deviation > 0:
            raise Refusal(f"deviation={deviation}: must be positive")
        return float(stats.norm.sf(margin / deviation))
    if values.size < 2:
        raise Refusal("one value has no deviation: give the known one as deviation=")
    estimated = values.std(ddof=1)
    if estimated == 0:
        return 0.0 if margin > 0 else 1.0
    return float(stats.t.sf(margin / estimated, values.size - 1))
