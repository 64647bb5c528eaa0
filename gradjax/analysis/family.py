"""Which pairs of optimizers are tested together on one problem.

Holm's method corrects the tests of a family. With "baseline" the family is each
optimizer against one; with "all" it is every pair, which costs power.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from types import MappingProxyType
from typing import NamedTuple

from gradjax.analysis.improvement import probability_of_outperforming
from gradjax.analysis.ranks import worst_if_diverged
from gradjax.analysis.searches import Searched
from gradjax.analysis.statistics import Interval
from gradjax.analysis.tuned_verdicts import (
    StudyMeans,
    TunedVerdict,
    study_verdicts,
    tuned_verdicts,
)
from gradjax.analysis.verdicts import Verdict, verdicts
from gradjax.errors import Refusal
from gradjax.types.comparisons import Outcome

PAIRS = ("baseline", "all")


class Pair(NamedTuple):
    """Two optimizers of one problem, and what is said of the first."""

    first: str
    second: str
    verdict: Verdict | None  # on the settings; None where the seeds are not common
    tuned: TunedVerdict | None  # on the optimizers; None without both searches
    outperforms: Interval | None = None  # the probability that the first is better on a
    # seed; None where the seeds are not common


def check(pairs: str) -> str:
    """Returns the name of a family.

    Raises:
      Refusal: another name.
    """
    if pairs not in PAIRS:
        raise Refusal(f"pairs={pairs!r}: expected {' or '.join(PAIRS)}")
    return pairs


def size(num_optimizers: int, pairs: str) -> int:
    """Returns the number of tests of a family."""
    if pairs == "baseline":
        return num_optimizers - 1
    return num_optimizers * (num_optimizers - 1) // 2


def pairs_of(
    names: Sequence[str], baseline: str | None, pairs: str
) -> list[tuple[str, str]]:
    """Returns the pairs (first, second) of a family.

    Args:
      names: the optimizers in their order, the best first.
      baseline: the second optimizer of each pair that it belongs to; None: none is.
      pairs: "baseline" or "all".
    """
    if pairs == "baseline":
        return [(name, baseline) for name in names if baseline and name != baseline]
    return [(b, a) if a == baseline else (a, b) for a, b in combinations(names, 2)]


def compared(
    fresh: Mapping[str, Sequence[Outcome]],
    tried: Mapping[str, Searched],
    pairs: Sequence[tuple[str, str]],
    direction: str,
    confidence: float,
    studies: Mapping[str, StudyMeans] = MappingProxyType({}),
) -> list[Pair]:
    """Compares pairs of optimizers: their settings are a family, and their searches.

    Args:
      fresh: for each optimizer its fresh seeds in their order.
      tried: for each optimizer that was tuned the trials of its search.
      pairs: the comparisons (first, second).
      direction: "min" or "max".
      confidence: 1 minus the level of each family.
      studies: for each optimizer what its independent tunings gave; empty if it was
        tuned once.

    Returns:
      One comparison per pair, in the order given.
    """
    settings = _settings(fresh, pairs, direction, confidence)
    values = {name: one.values for name, one in tried.items()}
    if studies:
        counts = {name: len(one) for name, one in values.items()}
        own, known = _common(studies, pairs)
        about = (direction, confidence, counts)
        told = study_verdicts(own, known, *about) if known else []
    else:
        known = [pair for pair in pairs if values.keys() >= {*pair}]
        told = tuned_verdicts(values, known, direction, confidence) if known else []
    tuned = {(one.first, one.second): one for one in told}
    return [
        Pair(
            *pair,
            settings.get(pair),
            tuned.get(pair),
            _outperforms(fresh, pair, direction, confidence)
            if pair in settings
            else None,
        )
        for pair in pairs
    ]


def _common(
    studies: Mapping[str, StudyMeans], pairs: Sequence[tuple[str, str]]
) -> tuple[dict[str, StudyMeans], list[tuple[str, str]]]:
    """Returns the optimizers with the studies of most pairs, and the pairs of these."""
    of = {name: one.studies for name, one in studies.items()}
    counted = Counter(of[a] for a, b in pairs if of[a] == of[b] and len(of[a]) > 1)
    used = max(counted, key=lambda one: counted[one], default=None)
    own = {name: one for name, one in studies.items() if one.studies == used}
    return own, [pair for pair in pairs if own.keys() >= {*pair}]


def _outperforms(
    fresh: Mapping[str, Sequence[Outcome]],
    pair: tuple[str, str],
    direction: str,
    confidence: float,
) -> Interval:
    """Returns P(A > B); a seed without a result counts as the worst value."""
    sign = -1.0 if direction == "min" else 1.0
    first, second = (
        sign * worst_if_diverged([one.value for one in fresh[name]], direction)
        for name in pair
    )
    return probability_of_outperforming(first, second, confidence)


def _settings(
    fresh: Mapping[str, Sequence[Outcome]],
    pairs: Sequence[tuple[str, str]],
    direction: str,
    confidence: float,
) -> dict[tuple[str, str], Verdict]:
    """Returns the verdicts on the settings, of pairs with the seeds of most pairs."""
    seeds = {name: tuple(one.seed for one in own) for name, own in fresh.items()}
    common = Counter(seeds[a] for a, b in pairs if seeds[a] == seeds[b])
    if not common:
        return {}
    ((used, _),) = common.most_common(1)
    paired = {
        name: [one.value for one in own]
        for name, own in fresh.items()
        if seeds[name] == used
    }
    known = [pair for pair in pairs if paired.keys() >= {*pair}]
    num_failed = {
        name: sum(one.failure != "" for one in fresh[name]) for name in paired
    }
    told = verdicts(paired, known, direction, confidence, num_failed)
    return {(one.first, one.second): one for one in told}
