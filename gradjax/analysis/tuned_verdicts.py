"""What the trials of a search, or several searches, say of the optimizers, in words.

Fresh seeds compare two settings. These verdicts repeat the choice of the settings: they
ask whether another search of the same size would have decided otherwise. Where each
optimizer was tuned several times, independently, these tunings answer that.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.correction import holm, step_levels
from gradjax.analysis.digits import significant
from gradjax.analysis.statistics import Interval
from gradjax.analysis.tuned import tuning_interval, tuning_p_value
from gradjax.analysis.verdicts import (
    BETTER,
    EQUAL,
    WORSE,
    Verdict,
    by,
    describe,
    verdicts,
)

_NONE = Interval(np.nan, np.nan, np.nan)


class StudyMeans(NamedTuple):
    """What the independent tunings of an optimizer gave."""

    studies: tuple[int, ...]  # in rising order
    means: np.ndarray  # f64[studies], over the fresh seeds; NaN where one has no value
    num_failed: int  # of the NaN, those in which no seed diverged


class TunedVerdict(NamedTuple):
    """The comparison of one optimizer with another, each with its tuning."""

    first: str
    second: str
    word: str  # "better", "worse" or "cannot be told apart": the first; over studies
    # also the other words of a `Verdict`
    interval: Interval  # positive where the first is better; NaN where a search has no
    # trial that ended, or where a fresh seed of a study has no value
    p_value: float  # after Holm; NaN where there is no test
    num_trials: tuple[int, int]  # of one search
    over_studies: Verdict | None = None  # on the means of independent tunings; None:
    # there is one tuning, and its trials are compared

    @property
    def num_studies(self) -> int:
        """The number of independent tunings of each optimizer."""
        return 1 if self.over_studies is None else self.over_studies.num_seeds


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


def study_verdicts(
    studies: Mapping[str, StudyMeans],
    pairs: Sequence[tuple[str, str]],
    direction: str,
    confidence: float = 0.95,
    num_trials: Mapping[str, int] = MappingProxyType({}),
) -> list[TunedVerdict]:
    """Compares pairs of optimizers over independent tunings, as one family of tests.

    Each pair has a paired t test over the studies: study k of both optimizers has the
    same points of the unit cube and the same seeds. Holm's method corrects the family.
    The mean over the fresh seeds of a study is one value, so a seed that diverged, or
    that has no result, leaves its study without a value, and the pair without a test.

    Args:
      studies: for each optimizer its mean value of each study.
      pairs: the comparisons (first, second) of the family.
      direction: "min" if smaller values are better, "max" if larger ones are.
      confidence: 1 minus the level of the family.
      num_trials: for each optimizer that was tuned the trials of a search.

    Returns:
      One verdict per pair, in the order given.

    Source:
      Student 1908; Holm 1979; independent tunings as the unit: Bouthillier et al. 2021.
    """
    means = {name: one.means for name, one in studies.items()}
    failed = {name: one.num_failed for name, one in studies.items()}
    return [
        TunedVerdict(
            one.first,
            one.second,
            one.word,
            _NONE if one.difference is None else one.difference.interval,
            one.p_value,
            (num_trials.get(one.first, 0), num_trials.get(one.second, 0)),
            one,
        )
        for one in verdicts(means, pairs, direction, confidence, failed)
    ]


def describe_tuned(verdict: TunedVerdict, digits: int = 3) -> str:
    """Returns the verdict as one clause about its first optimizer.

    Args:
      verdict: a comparison of two optimizers.
      digits: significant digits of the difference and its bounds.
    """
    if verdict.over_studies is not None:
        unit = f"over {verdict.num_studies} independent tunings"
        return f"{unit}: {describe(verdict.over_studies, digits, 'tuning')}"
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
