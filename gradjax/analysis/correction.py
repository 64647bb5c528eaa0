"""Correction of p-values for the number of tests in a family."""

from typing import Any

import numpy as np

from gradjax.errors import Refusal


def holm(p_values: Any) -> np.ndarray:
    """Adjusts the p-values of a family of tests by Holm's method.

    In ascending order, p_(i) becomes max over j <= i of min(1, (m - j + 1) p_(j)). To
    reject those at most alpha keeps the probability of any false rejection in the
    family at alpha or less, whatever the dependence of the tests.

    Args:
      p_values: f64[m], in [0, 1].

    Returns:
      f64[m], the adjusted values in the order given.

    Source:
      S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian
      Journal of Statistics 6, 1979.
    """
    p_values = np.asarray(p_values, np.float64)
    if p_values.size and not ((p_values >= 0) & (p_values <= 1)).all():
        raise Refusal(f"p-values {p_values.tolist()}: each must lie in [0, 1]")
    order = np.argsort(p_values, kind="stable")
    factors = p_values.size - np.arange(p_values.size)
    adjusted = np.maximum.accumulate(np.minimum(1.0, factors * p_values[order]))
    found = np.empty_like(adjusted)
    found[order] = adjusted
    return found


def step_levels(p_values: np.ndarray, level: float) -> np.ndarray:
    """Computes the level that Holm's method compares each p-value with.

    The i-th smallest of m is compared with level / (m - i + 1) while all earlier ones
    are rejected. From the first one that is not, its level holds for all later ones.

    Args:
      p_values: f64[m]; a NaN is not rejected.
      level: the level of the family.

    Returns:
      f64[m], in the order given.
    """
    order = np.argsort(p_values, kind="stable")
    count = len(p_values)
    steps = level / (count - np.arange(count))
    kept = np.flatnonzero(~(p_values[order] <= steps))
    if kept.size:
        steps[kept[0] :] = steps[kept[0]]
    levels = np.empty(count)
    levels[order] = steps
    return levels
