"""What fresh seeds say of the settings that tuning chose, in words.

Verdicts of one family are corrected together: the probability that any of them says
"better" or "worse" where the means are equal is at most the level of the family.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.correction import holm, step_levels
from gradjax.analysis.digits import significant
from gradjax.analysis.pairs import PairedDifference, paired_difference
from gradjax.analysis.power import seeds_needed
from gradjax.analysis.ranks import worst_if_diverged
from gradjax.analysis.statistics import Interval, check_probability
from gradjax.errors import Refusal

BETTER, WORSE, EQUAL = "better", "worse", "cannot be told apart"
DIVERGES, FAILS, UNTESTED = "diverges", "has no result", "not tested"


class Verdict(NamedTuple):
    """The comparison of one setting with another over common fresh seeds."""

    first: str
    second: str
    word: str  # "better", "worse", "cannot be told apart", "diverges", "has no result"
    # (where a seed failed and none diverged) or "not tested"
    num_diverged: tuple[int, int]  # seeds of the first and of the second
    num_seeds: int
    difference: PairedDifference | None  # its sign: positive where the first is better;
    # None where a seed diverged. The interval is at the level of Holm's step
    p_value: float  # after Holm; NaN where there is no test
    seeds_needed: int | None  # to find the observed effect with power 0.8 if it cannot
    # be told apart; None: more than a million, or it does not apply
    median_difference: float  # of the medians, a diverged seed being the worst value
    num_failed: tuple[int, int] = (0, 0)  # seeds without a result that did not diverge


def verdicts(
    values: Mapping[str, Any],
    pairs: Sequence[tuple[str, str]],
    direction: str,
    confidence: float = 0.95,
    num_failed: Mapping[str, int] = MappingProxyType({}),
) -> list[Verdict]:
    """Compares pairs of settings over common seeds, as one family of tests.

    Each pair has a paired t test, and Holm's method corrects the family. The interval
    of a pair has the confidence of the step at which Holm's method decided on it, so it
    excludes 0 exactly where the verdict is "better" or "worse". A setting with a
    diverged seed has no mean: its verdict is "diverges", and it does not count in the
    family. Nor does a pair whose two settings have one value each on all seeds: there
    is no spread to test their difference by.

    Args:
      values: for each setting its values f64[seeds] at the same seeds in the same
        order; NaN where the seed diverged.
      pairs: the comparisons (first, second) of the family.
      direction: "min" if smaller values are better, "max" if larger ones are.
      confidence: 1 minus the level of the family.
      num_failed: for a setting, how many of its NaN are of seeds that did not diverge
        but have no result, because they ended the process or never ran.

    Returns:
      One verdict per pair, in the order given.

    Raises:
      Refusal: an unknown setting, different numbers of seeds, or no seeds.

    Source:
      Student 1908; Holm 1979.
    """
    check_probability("confidence", confidence)
    seeds = _check(values, pairs)
    sign = -1.0 if direction == "min" else 1.0
    ranked = {
        name: sign * worst_if_diverged(one, direction) for name, one in seeds.items()
    }
    is_whole = [all(np.isfinite(ranked[name]).all() for name in pair) for pair in pairs]
    tested = [pair for pair, whole in zip(pairs, is_whole, strict=True) if whole]
    found = dict(zip(tested, _family(ranked, tested, 1 - confidence), strict=True))
    said = [_verdict(pair, ranked, found.get(pair), 1 - confidence) for pair in pairs]
    return [_with_failed(one, num_failed) for one in said]


def describe(verdict: Verdict, digits: int = 3, unit: str = "seed") -> str:
    """Returns the verdict as one clause about its first setting.

    Args:
      verdict: a comparison.
      digits: significant digits of the difference and its bounds.
      unit: what the values are of.
    """
    if verdict.word in (DIVERGES, FAILS):
        return _describe_lost(verdict)
    if verdict.difference is None or verdict.num_seeds == 1:
        return f"{EQUAL}: one {unit} has no spread"
    interval = verdict.difference.interval
    if verdict.word == UNTESTED:
        same = significant(interval.estimate, digits, "+")
        return f"{UNTESTED}: a difference of {same} on every {unit}, without a spread"
    if verdict.word != EQUAL:
        return f"{verdict.word} {by(verdict.word, interval, digits)}"
    needed = verdict.seeds_needed
    count = "more than a million" if needed is None else f"about {needed:,}"
    estimate, low, high = (significant(one, digits, "+") for one in interval)
    return (
        f"{EQUAL}: {estimate} [{low}, {high}]; a difference of this size would need "
        f"{count} {unit}s"
    )


def by(word: str, interval: Interval, digits: int = 3) -> str:
    """Returns "by x [low, high]" for a difference that is positive where it is better.

    Args:
      word: "better", or "worse", which turns the signs.
      interval: the difference.
      digits: significant digits.
    """
    estimate, low, high = interval
    if word == WORSE:
        estimate, low, high = -estimate, -high, -low
    said = [significant(one, digits) for one in (estimate, low, high)]
    return f"by {said[0]} [{said[1]}, {said[2]}]"


def describe_lost(num_diverged: int, num_failed: int, num_seeds: int) -> str:
    """Returns how many seeds diverged, and how many have no result; "" if none.

    Args:
      num_diverged: seeds that diverged.
      num_failed: seeds without a result that did not diverge.
      num_seeds: all of them.
    """
    counts = {DIVERGES: num_diverged, FAILS: num_failed}
    seen = {word: count for word, count in counts.items() if count}
    return ", ".join(f"{word} in {k} of {num_seeds}" for word, k in seen.items())


def _describe_lost(verdict: Verdict) -> str:
    ours, theirs = (
        describe_lost(diverged, failed, verdict.num_seeds)
        for diverged, failed in zip(
            verdict.num_diverged, verdict.num_failed, strict=True
        )
    )
    parts = [ours, f"{verdict.second} {theirs}" if theirs else ""]
    return ", ".join(filter(None, parts))


def _with_failed(verdict: Verdict, num_failed: Mapping[str, int]) -> Verdict:
    """Returns a verdict that tells seeds without a result from those that diverged."""
    pair = (verdict.first, verdict.second)
    first, second = (num_failed.get(name, 0) for name in pair)
    if not first and not second:
        return verdict
    ours, theirs = verdict.num_diverged
    diverged = ours - first, theirs - second
    word = DIVERGES if any(diverged) else FAILS
    return verdict._replace(
        word=word, num_diverged=diverged, num_failed=(first, second)
    )


def _family(
    ranked: Mapping[str, np.ndarray], pairs: Sequence[tuple[str, str]], level: float
) -> list[tuple[PairedDifference, float, float]]:
    """Returns the difference, the adjusted p-value and the level for each pair."""
    p_values = np.array([_p_value(ranked[a], ranked[b]) for a, b in pairs])
    is_tested = np.isfinite(p_values)
    adjusted = np.full(len(pairs), np.nan)
    adjusted[is_tested] = holm(p_values[is_tested])
    levels = np.full(len(pairs), level)
    levels[is_tested] = step_levels(p_values[is_tested], level)
    return [
        (paired_difference(ranked[a], ranked[b], 1 - at), p, at)
        for (a, b), p, at in zip(pairs, adjusted, levels, strict=True)
    ]


def _p_value(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the p-value of a pair; NaN where there is no spread to test by."""
    is_constant = not np.ptp(first) and not np.ptp(second)
    return np.nan if is_constant else paired_difference(first, second).p_value


def _verdict(
    pair: tuple[str, str],
    ranked: Mapping[str, np.ndarray],
    found: tuple[PairedDifference, float, float] | None,
    level: float,
) -> Verdict:
    ours, theirs = ranked[pair[0]], ranked[pair[1]]
    diverged = int(np.isinf(ours).sum()), int(np.isinf(theirs).sum())
    medians = float(np.median(ours)), float(np.median(theirs))
    gap = 0.0 if medians[0] == medians[1] else medians[0] - medians[1]
    if found is None:
        return Verdict(*pair, DIVERGES, diverged, ours.size, None, np.nan, None, gap)
    difference, p_value, at = found
    word = EQUAL
    if p_value <= level:
        word = BETTER if difference.interval.estimate > 0 else WORSE
    elif np.isnan(p_value) and ours.size > 1:
        word = UNTESTED
    is_open = word == EQUAL and not np.isnan(difference.effect)
    needed = seeds_needed(difference.effect, at) if is_open else None
    return Verdict(*pair, word, diverged, ours.size, difference, p_value, needed, gap)


def _check(
    values: Mapping[str, Any], pairs: Sequence[tuple[str, str]]
) -> dict[str, np.ndarray]:
    seeds = {name: np.asarray(one, np.float64) for name, one in values.items()}
    unknown = [name for pair in pairs for name in pair if name not in seeds]
    if unknown:
        raise Refusal(f"no values of {unknown[0]!r}; there are {', '.join(seeds)}")
    shapes = {one.shape for one in seeds.values()}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 1 or not shape[0]:
        raise Refusal("each setting needs one value per common seed, f64[seeds]")
    return seeds
