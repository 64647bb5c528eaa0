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
