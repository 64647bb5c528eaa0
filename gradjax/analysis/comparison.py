"""The comparison of optimizers on one problem: a row for each, with its verdict."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.arrivals import (
    Arrival,
    Target,
    arrivals,
    have_seconds,
    spent,
    target_of,
    unit_of,
)
from gradjax.analysis.departures import Rule, doubts, resolution_step, rules
from gradjax.analysis.family import Pair, check, compared, pairs_of
from gradjax.analysis.interquartile import LEAST_VALUES, interquartile_interval
from gradjax.analysis.ranks import worst_if_diverged
from gradjax.analysis.searches import Searched, searched
from gradjax.analysis.statistics import Interval, student_interval
from gradjax.analysis.threshold import ThresholdTest, below_threshold
from gradjax.analysis.tuned_verdicts import StudyMeans, TunedVerdict
from gradjax.analysis.verdicts import Verdict, describe_lost
from gradjax.errors import Refusal
from gradjax.types.comparisons import Metric, Outcome


class Row(NamedTuple):
    """One optimizer on one problem."""

    optimizer: str
    setting: dict[str, Any]  # of its fresh seeds
    seeds: tuple[int, ...]
    values: np.ndarray  # f64[seeds], NaN where a seed diverged
    interval: Interval | None  # None where a seed diverged
    median: float  # a diverged seed counts as the worst value
    verdict: Verdict | None  # against the baseline; None for the baseline itself,
    # without a baseline, and where the seeds are not common
    doubts: tuple[str, ...]
    tuned: TunedVerdict | None = None  # of the optimizers, each with its search; None
    # without a baseline, or without the trials of both searches
    interquartile: Interval | None = None  # from 20 seeds on
    resolution: float | None = None  # the standard error of an accuracy that comes from
    # the number of test examples; None of another metric
    arrivals: tuple[Arrival, ...] = ()  # of the fresh seeds at the target, in the unit
    # of the table
    passes: ThresholdTest | None = None  # that the mean end is better than the target
    outperforms: Interval | None = None  # the probability that it is better than the
    # baseline on a seed; None where `verdict` is None
    num_failed: int = 0  # fresh seeds without a result that did not diverge

    @property
    def num_diverged(self) -> int:
        """The number of fresh seeds that diverged."""
        return int(np.isnan(self.values).sum()) - self.num_failed

    @property
    def lost(self) -> str:
        """How many fresh seeds diverged or have no result; "" if none."""
        return describe_lost(self.num_diverged, self.num_failed, len(self.seeds))

    @property
    def deviation(self) -> float:
        """The standard deviation over seeds; NaN if one diverged, or of one seed."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else np.nan


class Table(NamedTuple):
    """The comparison on one problem by one metric, the best median first."""

    problem: str
    metric: Metric
    baseline: str | None
    rows: tuple[Row, ...]
    outcomes: tuple[Outcome, ...]  # the trials that were compared, and of the search
    target: Target | None = None
    rules: tuple[Rule, ...] = ()  # of a fair comparison, and whether they are kept
    pairs: tuple[Pair, ...] = ()  # every pair of optimizers, the family of the
    # verdicts; empty if the family is each optimizer against the baseline
    num_studies: int = 1  # independent tunings; all but the verdicts on the optimizers
    # is of the first one

    @property
    def searches(self) -> dict[str, Searched]:
        """The settings that were tried, of each optimizer that was tuned."""
        return searched(self.outcomes)

    @property
    def unit(self) -> str:
        """The unit of all times to target: "gradients", or "steps" if unknown."""
        return unit_of(self.outcomes)

    @property
    def has_seconds(self) -> bool:
        """Whether the seconds of every trial are known."""
        return have_seconds(self.outcomes)

    def horizon(self, unit: str) -> float:
        """Returns what the longest run has spent, in a unit that is known for all."""
        return max((spent(one, unit) for one in self.outcomes if one.steps), default=0)


def compare(
    outcomes: Sequence[Outcome],
    metric: Metric,
    baseline: str | None = None,
    confidence: float = 0.95,
    pairs: str = "baseline",
) -> Table:
    """Compares the fresh seeds of all optimizers of one problem.

    Args:
      outcomes: trials of one problem. The fresh ones of an optimizer have one setting
        in each study. The studies after the first one count in the verdicts on the
        optimizers alone.
      metric: what `value` is.
      baseline: the optimizer that the verdict of a row compares with; None: no row has
        a verdict.
      confidence: of each interval, and of the family of all verdicts.
      pairs: the family of the verdicts: "baseline", each optimizer against it; or
        "all", every pair of optimizers.

    Returns:
      The table.

    Raises:
      Refusal: no fresh seeds, an unknown baseline or family, or an optimizer with
        several settings among its fresh seeds.
    """
    check(pairs)
    studies = study_means(outcomes)
    outcomes = [one for one in outcomes if not one.study]
    fresh: dict[str, list[Outcome]] = {}
    for one in outcomes:
        if one.role == "fresh":
            fresh.setdefault(one.optimizer, []).append(one)
    if not fresh:
        raise Refusal("a comparison needs runs of fresh seeds")
    if baseline is not None and baseline not in fresh:
        raise Refusal(f"baseline={baseline!r}: there are {', '.join(fresh)}")
    found = {name: sorted(own, key=lambda one: one.seed) for name, own in fresh.items()}
    target = target_of(outcomes, metric, baseline)
    rows = [_row(own, metric, outcomes, confidence) for own in found.values()]
    is_low = metric.direction == "min"
    rows.sort(key=lambda row: row.median if is_low else -row.median)
    named = pairs_of([row.optimizer for row in rows], baseline, pairs)
    about = (metric.direction, confidence)
    told = compared(found, searched(outcomes), named, *about, studies)
    of = {one.first: one for one in told if one.second == baseline}
    rows = [
        row._replace(verdict=one.verdict, tuned=one.tuned, outperforms=one.outperforms)
        if (one := of.get(row.optimizer))
        else row
        for row in rows
    ]
    table = Table(
        outcomes[0].problem,
        metric,
        baseline,
        tuple(rows),
        tuple(outcomes),
        target,
        tuple(rules(outcomes, metric)),
        tuple(told) if pairs == "all" else (),
        max((len(one.studies) for one in studies.values()), default=1),
    )
    if target is None:
        return table
    timed = [row._replace(**_at_target(found[row.optimizer], table)) for row in rows]
    return table._replace(rows=tuple(timed))


def study_means(outcomes: Sequence[Outcome]) -> dict[str, StudyMeans]:
    """Returns for each optimizer its mean over the fresh seeds of each study.

    Args:
      outcomes: trials of one problem.

    Returns:
      Optimizer -> its studies; an empty dictionary if there is one study alone.
    """
    fresh: dict[str, dict[int, list[Outcome]]] = {}
    for one in outcomes:
        if one.role == "fresh":
            fresh.setdefault(one.optimizer, {}).setdefault(one.study, []).append(one)
    if not any(study for own in fresh.values() for study in own):
        return {}
    return {name: _study_means(own) for name, own in fresh.items()}


def _study_means(own: dict[int, list[Outcome]]) -> StudyMeans:
    order = sorted(own)
    means = [float(np.mean([one.value for one in own[study]])) for study in order]
    num_failed = 0
    for study, mean in zip(order, means, strict=True):
        lost = [one for one in own[study] if np.isnan(one.value)]
        num_failed += np.isnan(mean) and all(one.failure for one in lost)
    return StudyMeans(tuple(order), np.array(means), int(num_failed))


def _at_target(own: Sequence[Outcome], table: Table) -> dict[str, Any]:
    """Returns when fresh seeds reach the target, and whether their mean end passes it.

    Only a target that was given before the runs is tested against.
    """
    target, direction, unit = table.target, table.metric.direction, table.unit
    is_lost = [bool(one.diverged_step or one.failure) for one in own]
    known = [
        len(one.curve.values) or lost for one, lost in zip(own, is_lost, strict=True)
    ]
    if target is None or not all(known):
        return {}
    found: dict[str, Any] = {}
    reached = arrivals(own, target, direction, unit, table.horizon(unit))
    found["arrivals"] = tuple(reached)
    if target.is_given and len(own) > 1 and not any(is_lost):
        sign = 1.0 if direction == "min" else -1.0
        ends = np.array([one.curve.values[-1] for one in own], np.float64)
        if np.isfinite(ends).all():
            found["passes"] = below_threshold(sign * ends, sign * target.value)
    return found


def _row(
    own: list[Outcome],
    metric: Metric,
    outcomes: Sequence[Outcome],
    confidence: float,
) -> Row:
    settings = {tuple(sorted(one.setting.items(), key=str)) for one in own}
    if len(settings) > 1:
        raise Refusal(
            f"{own[0].optimizer}: its fresh seeds have {len(settings)} settings"
        )
    seeds = tuple(one.seed for one in own)
    if len(set(seeds)) < len(seeds):
        raise Refusal(f"{own[0].optimizer}: two runs have the same seed")
    values = np.array([one.value for one in own], np.float64)
    whole = bool(np.isfinite(values).all())
    return Row(
        own[0].optimizer,
        own[0].setting,
        seeds,
        values,
        student_interval(values, confidence) if whole else None,
        float(np.median(worst_if_diverged(values, metric.direction))),
        None,
        tuple(doubts(own, metric, outcomes)),
        interquartile=interquartile_interval([values], confidence)
        if whole and len(values) >= LEAST_VALUES
        else None,
        resolution=_resolution(values, metric) if whole else None,
        num_failed=sum(one.failure != "" for one in own),
    )


def _resolution(values: np.ndarray, metric: Metric) -> float | None:
    """Returns sqrt(p (1 - p) / n) of an accuracy p on n examples."""
    if (step := resolution_step(metric)) is None:
        return None
    share = float(np.clip(values.mean(), 0, 1))
    return float(np.sqrt(share * (1 - share) * step))
