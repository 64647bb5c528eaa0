"""How much the result depends on the learning rate."""

from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.ranks import worst_if_diverged
from gradjax.errors import Refusal


class Basin(NamedTuple):
    """The learning rates around the best one that are nearly as good."""

    best_rate: float
    low: float
    high: float
    is_low_open: bool  # the smallest rate that was tried is still good
    is_high_open: bool  # the largest rate that was tried is still good

    @property
    def decades(self) -> float:
        """The width in powers of ten; at least this if an end is open."""
        return float(np.log10(self.high / self.low))


def learning_rate_sensitivity(
    losses: Any, initial_loss: float, rates: Any = None
) -> float:
    """Computes the mean excess loss over learning rates, uniformly in the logarithm.

        mean over rates of min(loss, initial loss) - smallest loss

    Args:
      losses: f64[rates], final losses; NaN where the run diverged.
      initial_loss: the loss before training, which bounds what a bad rate costs.
      rates: f64[rates], positive and different, at least 2. The mean is then the
        integral over the logarithm of the rate by the trapezoidal rule, divided by the
        width of the range that was tried. None: the rates are equally spaced in the
        logarithm, or drawn so, and the mean is that of the values.

    Returns:
      The sensitivity, at least 0; 0 if all rates are equally good.

    Source:
      Wortsman et al., "Small-scale Proxies for Large-scale Transformer Training
      Instabilities", 2023, arXiv:2309.14322.
    """
    losses = worst_if_diverged(losses, "min")
    if losses.ndim != 1 or not losses.size or not np.isfinite(initial_loss):
        raise Refusal(
            "a sensitivity needs final losses [rates] and a finite first loss"
        )
    losses = np.minimum(losses, initial_loss)
    if rates is None:
        return float(losses.mean() - losses.min())
    rates = np.asarray(rates, np.float64)
    if rates.shape != losses.shape or rates.size < 2 or not (rates > 0).all():
        raise Refusal("a sensitivity needs at least 2 positive rates, one per loss")
    order = np.argsort(rates)
    logs = np.log(rates[order])
    mean = np.trapezoid(losses[order], logs) / (logs[-1] - logs[0])
    return float(mean - losses.min())


def basin(rates: Any, values: Any, tolerance: float, direction: str) -> Basin:
    """Finds the interval of rates around the best whose values are within a tolerance.

    Between two rates the value is interpolated linearly over the logarithm of the rate.
    A diverged neighbour ends the interval at the last good rate.

    Args:
      rates: f64[n], positive and different.
      values: f64[n], the final metric; NaN where the run diverged.
      tolerance: the largest allowed distance from the best value, for instance one
        standard error of it; at least 0.
      direction: "min" or "max".

    Returns:
      The basin.

    Raises:
      Refusal: shapes that differ, no finite value, or a negative tolerance.
    """
    rates = np.asarray(rates, np.float64)
    losses = worst_if_diverged(values, direction)
    losses = losses if direction == "min" else -losses
    if rates.ndim != 1 or rates.shape != losses.shape or not (rates > 0).all():
        raise Refusal("a basin needs positive rates [n] and one value for each")
    if not np.isfinite(losses).any() or not tolerance >= 0:
        raise Refusal(
            f"a basin needs a finite value and a tolerance >= 0, not {tolerance}"
        )
    order = np.argsort(rates)
    logs, losses = np.log10(rates[order]), losses[order]
    best = int(losses.argmin())
    bound = losses[best] + tolerance
    low, is_low_open = _end(logs[best::-1], losses[best::-1], bound)
    high, is_high_open = _end(logs[best:], losses[best:], bound)
    return Basin(float(10 ** logs[best]), 10**low, 10**high, is_low_open, is_high_open)


def _end(logs: np.ndarray, losses: np.ndarray, bound: float) -> tuple[float, bool]:
    """Returns where the losses first exceed the bound, and whether they never do."""
    worse = np.flatnonzero(losses > bound)
    if not worse.size:
        return float(logs[-1]), True
    after = worse[0]
    inside, outside = losses[after - 1], losses[after]
    if not np.isfinite(outside):
        return float(logs[after - 1]), False
    share = (bound - inside) / (outside - inside)
    return float(logs[after - 1] + share * (logs[after] - logs[after - 1])), False
