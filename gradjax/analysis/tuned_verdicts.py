"""What the trials of a search say of the optimizers, in words.

Fresh seeds compare two settings. These verdicts repeat the choice of the settings: they
ask whether another search of the same size would have decided otherwise.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.correction import holm, step_levels
from gradjax.analysis.digits import significant
from gradjax.analysis.statistics import Interval
from gradjax.analysis.tuned import tuning_interval, tuning_p_value
from gradjax.analysis.verdicts import BETTER, EQUAL, WORSE, by


class TunedVerdict(NamedTuple):
    """The comparison of one optimizer with another, each with its tuning."""

    first: str
    second: str
    word: str  # "better", "worse" or "cannot be told apart": the first
    interval: Interval  # positive where the first is better; NaN where a search has no
    # trial that ended
    p_value: float  # after Holm
    num_trials: tuple[int, int]


def tuned_verdicts(
    values: Mapping[str, Any],
    pairs: Sequence[tuple[str, str]],
    direction: str,
    confidence: float = 0.95,
) -> list[TunedVerdict]:
    """Compares pairs of optimizers as tuned, as one family of tests.

    Each pair has the test of `tuning_p_value`, and Holm's method corrects the family.
    The interval of a pair has the confidence of Holm's step.

    Args:
      values: for each optimizer the values f64[trials] of its search; NaN: diverged.
      pairs: the comparisons (first, second) of the family.
      direction: "min" if smaller values are better, "max" if larger ones are.
      confidence: 1 minus the level of the family.

    Returns:
      One verdict per pair, in the order given.
    """
    found = np.array(
        [tuning_p_value(values[a], values[b], direction) for a, b in pairs]
    )
    levels = step_levels(found, 1 - confidence)
    told = zip(pairs, holm(found), levels, strict=True)
    return [
        _verdict(pair, values, direction, p, level, is_told=bool(p <= 1 - confidence))
        for pair, p, level in told
    ]


def describe_tuned(verdict: TunedVerdict, digits: int = 3) -> str:
    """Returns the verdict as one clause about its first optimizer.

    Args:
      verdict: a comparison of two optimizers.
      digits: significant digits of the difference and its bounds.
    """
    if np.isnan(verdict.interval.estimate):
        return f"{verdict.word}: a search has no trial that ended"
    if verdict.word != EQUAL:
        return f"{verdict.word} {by(verdict.word, verdict.interval, digits)}"
    estimate, low, high = (significant(one, digits, "+") for one in verdict.interval)
    return f"{EQUAL}: {estimate} [{low}, {high}]"


def _verdict(
    pair: tuple[str, str],
    values: Mapping[str, Any],
    direction: str,
    p_value: float,
    level: float,
    *,
    is_told: bool,
) -> TunedVerdict:
    ours, theirs = (np.asarray(values[name], np.float64) for name in pair)
    found = tuning_interval(ours, theirs, direction, 1 - level)
    if direction == "min":  # the sign says which of the two is better
        found = Interval(-found.estimate, -found.high, -found.low)
    word = EQUAL
    if is_told:
        is_ended = np.isfinite(ours).any()
        is_ahead = is_ended if np.isnan(found.estimate) else found.estimate > 0
        word = BETTER if is_ahead else WORSE
    return TunedVerdict(*pair, word, found, float(p_value), (ours.size, theirs.size))
