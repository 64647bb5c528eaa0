"""How the sizes of the outputs of layers grow with the width: slopes and a verdict.

In muP every layer's output keeps its size as the width grows, at the start and after
each step, and so does the change that the steps make (Yang et al. 2022, appendix D.1).
Sums over the width whose terms are independent at the start may fall as width^(-1/2)
until training aligns them. These are the outputs of the network, and the logits of
attention, which must fall so at the start: flat logits are scaled by 1 / sqrt(d).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gradjax.analysis.statistics import student_interval

# Of a slope. It was chosen after runs in muP were seen, whose slopes were up to 0.17
# outside of the exact values.
TOLERANCE = 0.2
_FALL = -0.5  # the slope of a sum of independent terms

LAYER, READOUT, LOGITS = "layer", "readout", "attention logits"


class Sizes(NamedTuple):
    """The sizes of the outputs of one layer.

    Attributes:
      kind: LAYER; READOUT, whose number of features does not grow with the width; or
        LOGITS of an attention whose number of heads does not grow.
      size: f[widths, steps + 1, seeds], the mean absolute value after so many steps.
      change: f[widths, steps + 1, seeds], likewise of the change since the start.
    """

    kind: str
    size: np.ndarray
    change: np.ndarray


class Slope(NamedTuple):
    """The slope of one logarithm on that of the width, and what muP allows.

    Attributes:
      layer: path of the layer.
      quantity: "size" or "change".
      step: the number of steps taken.
      value: the mean slope over the seeds; NaN where a size is 0, as after a readout
        that starts at 0, which is allowed; or where it is not finite, which is not.
      half_width: half the width of Student's 95 % interval over the seeds, or NaN.
      low: the smallest slope that is allowed.
      high: the largest.
      passes: whether it is allowed.
    """

    layer: str
    quantity: str
    step: int
    value: float
    half_width: float
    low: float
    high: float
    passes: bool


def slopes(widths: list[int], layers: Mapping[str, Sizes]) -> list[Slope]:
    """Fits the slope of log size on log width, of every layer and step.

    Args:
      widths: increasing, at least two.
      layers: path -> Sizes.

    Returns:
      A Slope of each size at steps 0, 1, ... and of each change at steps 1, 2, ...
    """
    return [
        _slope(widths, (layer, quantity, step), sizes)
        for layer, sizes in layers.items()
        for quantity in ("size", "change")
        for step in range(quantity == "change", sizes.size.shape[1])
    ]


def allowed(kind: str, quantity: str, step: int) -> tuple[float, float]:
    """Returns the smallest and the largest slope that muP allows."""
    if kind == LAYER:
        return -TOLERANCE, TOLERANCE
    is_start = quantity == "size" and step == 0
    if kind == LOGITS and is_start:
        return _FALL - TOLERANCE, _FALL + TOLERANCE
    return _FALL - TOLERANCE, TOLERANCE


def _slope(widths: list[int], what: tuple[str, str, int], sizes: Sizes) -> Slope:
    layer, quantity, step = what
    values = getattr(sizes, quantity)[:, step]  # f[widths, seeds]
    low, high = allowed(sizes.kind, quantity, step)
    if not np.isfinite(values).all():
        return Slope(*what, np.nan, np.nan, low, high, passes=False)
    if (values <= 0.0).any():  # all of them, unless a wider network does not train
        is_zero = bool((values <= 0.0).all())
        return Slope(*what, np.nan, np.nan, low, high, passes=is_zero)
    each = np.polyfit(np.log(widths), np.log(values), 1)[0]  # f[seeds]
    mean, half = float(each.mean()), np.nan
    if len(each) > 1:
        interval = student_interval(each)
        half = float(interval.high - interval.low) / 2.0
    return Slope(*what, mean, half, low, high, passes=low <= mean <= high)


def worst(found: list[Slope]) -> Slope:
    """Returns the slope that is farthest outside of what is allowed."""

    def outside(one: Slope) -> float:
        if np.isnan(one.value):
            return -np.inf if one.passes else np.inf
        return max(one.low - one.value, one.value - one.high)

    return max(found, key=outside)
