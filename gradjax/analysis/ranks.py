"""Comparison of optimizers over several problems by their ranks."""

from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.statistics import check_probability
from gradjax.errors import Refusal


class Ranks(NamedTuple):
    """The ranks of optimizers over problems."""

    mean: np.ndarray  # f64[optimizers]; 1 is the best
    p_value: float  # Friedman's test that all optimizers rank alike; NaN below 3
    critical_difference: float  # Nemenyi; mean ranks closer than this cannot be told


def ranks(values: Any, direction: str, level: float = 0.05) -> Ranks:
    """Ranks optimizers on each problem and tests whether the mean ranks differ.

    The critical difference is q sqrt(k (k + 1) / (6 N)) for k optimizers and N
    problems, where q is the quantile of the studentised range divided by sqrt(2).

    Args:
      values: f64[optimizers, problems]; NaN where an optimizer diverged, which ranks
        last. Equal values share their mean rank.
      direction: "min" if smaller values are better, "max" if larger ones are.
      level: the significance level of the critical difference.

    Returns:
      The ranks.

    Raises:
      Refusal: fewer than 2 optimizers, no problems, or another direction.

    Source:
      J. Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR
      7, 2006.
    """
    check_probability("level", level)
    values = worst_if_diverged(values, direction)
    if values.ndim != 2 or values.shape[0] < 2 or not values.shape[1]:
        raise Refusal(
            f"values of shape {values.shape}; expected [optimizers, problems] with at "
            "least 2 optimizers"
        )
    from scipy import stats

    count, problems = values.shape
    ordered = stats.rankdata(values if direction == "min" else -values, axis=0)
    quantile = stats.studentized_range.ppf(1 - level, count, np.inf) / np.sqrt(2)
    return Ranks(
        ordered.mean(axis=1),
        _friedman(ordered),
        float(quantile * np.sqrt(count * (count + 1) / (6 * problems))),
    )


def worst_if_diverged(values: Any, direction: str) -> np.ndarray:
    """Replaces NaN by the worst value: inf to be minimised, -inf to be maximised."""
    if direction not in ("min", "max"):
        raise Refusal(f"direction={direction!r}; expected 'min' or 'max'")
    values = np.asarray(values, np.float64)
    return np.where(np.isnan(values), np.inf if direction == "min" else -np.inf, values)


def _friedman(ordered: np.ndarray) -> float:
    """Returns Friedman's p-value; 1 where all ranks are tied, NaN below 3 rows."""
    if len(ordered) < 3 or ordered.shape[1] < 2:
        return np.nan
    if (ordered == ordered[0]).all():
        return 1.0
    from scipy import stats

    return float(stats.friedmanchisquare(*ordered).pvalue)
