"""Detection of overfitting: a validation loss that rises during training."""

from typing import Any, NamedTuple

import numpy as np

_LEAST = 0.02  # share of the minimum; a smaller rise is noise


class Rise(NamedTuple):
    """A validation loss that has risen since its minimum."""

    step: int  # the step of the minimum
    minimum: float
    last: float  # the loss of the last evaluation


def rise(steps: Any, losses: Any) -> Rise | None:
    """Returns the rise of a validation loss since its minimum; None without a rise.

    A loss has been rising if at least two evaluations follow its minimum and the last
    one is above the minimum by more than 2 % of it.

    Args:
      steps: i[points], the number of steps taken at each evaluation.
      losses: f[points]; values that are not finite are left out.
    """
    steps, losses = np.asarray(steps), np.asarray(losses, np.float64)
    is_finite = np.isfinite(losses)
    steps, losses = steps[is_finite], losses[is_finite]
    if len(losses) < 3:
        return None
    at = int(losses.argmin())
    minimum, last = float(losses[at]), float(losses[-1])
    if len(losses) - at < 3 or last - minimum <= _LEAST * abs(minimum):
        return None
    return Rise(int(steps[at]), minimum, last)
