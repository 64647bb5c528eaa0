"""The comparison of optimizers on one problem: a row for each, with its verdict."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.ranks import worst_if_diverged
from gradjax.analysis.statistics import Interval, student_interval
from gradjax.analysis.verdicts import Verdict, verdicts
from gradjax.errors import Refusal
from gradjax.types import Series
from gradjax.types.comparisons import Metric, Outcome

_FEW_SEEDS = 5


class Row(NamedTuple):
    """One optimizer on one problem."""

    optimizer: str
    setting: dict[str, Any]  # of its fresh seeds
    seeds: tuple[int, ...]
    values: np.ndarray  # f64[seeds], NaN where a seed diverged
    interval: Interval | None  # None where a seed diverged
    median: float  # a diverged seed counts as the worst value
    verdict: Verdict | None  # against the baseline; None for the baseline itself, and
    # where the seeds are not common
    doubts: tuple[str, ...]

    @property
    def num_diverged(self) -> int:
        """The number of fresh seeds that diverged."""
        return int(np.isnan(self.values).sum())


class Table(NamedTuple):
    """The comparison on one problem by one metric, the best median first."""

    problem: str
    metric: Metric
    baseline: str | None
    rows: tuple[Row, ...]
    outcomes: tuple[Outcome, ...]  # the trials that were compared, and of the search


def compare(
    outcomes: Sequence[Outcome],
    metric: Metric,
    baseline: str | None = None,
    confidence: float = 0.95,
) -> Table:
    """Compares the fresh seeds of all optimizers of one problem with a baseline.

    Args:
      outcomes: trials of one problem. The fresh ones of an optimizer have one setting.
      metric: what `value` is.
      baseline: the optimizer that the others are compared with; None: no verdicts.
      confidence: of each interval, and of the family of all verdicts.

    Returns:
      The table.

    Raises:
      Refusal: no fresh seeds, an unknown baseline, or an optimizer with several
        settings among its fresh seeds.
    """
    fresh: dict[str, list[Outcome]] = {}
    for one in outcomes:
        if one.role == "fresh":
            fresh.setdefault(one.optimizer, []).append(one)
    if not fresh:
        raise Refusal("a comparison needs runs of fresh seeds")
    if baseline is not None and baseline not in fresh:
        raise Refusal(f"baseline={baseline!r}: there are {', '.join(fresh)}")
    found = {name: sorted(own, key=lambda one: one.seed) for name, own in fresh.items()}
    said = _verdicts(found, metric.direction, baseline, confidence)
    rows = [
        _row(own, said.get(name), metric, outcomes, confidence)
        for name, own in found.items()
    ]
    is_low = metric.direction == "min"
    rows.sort(key=lambda row: row.median if is_low else -row.median)
    return Table(outcomes[0].problem, metric, baseline, tuple(rows), tuple(outcomes))


def thin(curve: Series, max_points: int = 200) -> Series:
    """Returns points of a curve for drawing, always with the first and the last.

    Args:
      curve: f64[points].
      max_points: the largest number of points to keep, at least 2.
    """
    steps, values = np.asarray(curve.steps), np.asarray(curve.values)
    if steps.size <= max_points:
        return Series(steps, values)
    kept = np.unique(np.linspace(0, steps.size - 1, max_points).round().astype(int))
    return Series(steps[kept], values[kept])


def _verdicts(
    found: Mapping[str, list[Outcome]],
    direction: str,
    baseline: str | None,
    confidence: float,
) -> dict[str, Verdict]:
    """Returns optimizer -> its verdict, for those with the seeds of the baseline."""
    if baseline is None:
        return {}
    seeds = [one.seed for one in found[baseline]]
    paired = {
        name: [one.value for one in own]
        for name, own in found.items()
        if [one.seed for one in own] == seeds
    }
    pairs = [(name, baseline) for name in paired if name != baseline]
    if not pairs:
        return {}
    return {one.first: one for one in verdicts(paired, pairs, direction, confidence)}


def _row(
    own: list[Outcome],
    verdict: Verdict | None,
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
        verdict,
        tuple(_doubts(own, values, metric, outcomes)),
    )


def _doubts(
    own: list[Outcome],
    values: np.ndarray,
    metric: Metric,
    outcomes: Sequence[Outcome],
) -> list[str]:
    """Returns what limits the statement of a row, each as one sentence."""
    found = []
    diverged = int(np.isnan(values).sum())
    if diverged:
        found.append(
            f"{diverged} of {len(values)} seeds diverged, so there is no mean."
        )
    if len(values) < _FEW_SEEDS:
        found.append(f"There are only {len(values)} seeds.")
    if metric.num_examples and len(values) > 1 and not diverged:
        resolution = 1 / metric.num_examples
        if np.ptp(values) < resolution:
            found.append(
                f"The values differ by less than one of {metric.num_examples:,} "
                f"examples ({resolution:.2g}), so the interval is too narrow."
            )
    tried = [one for one in outcomes if one.role == "search"]
    tried = [one for one in tried if one.optimizer == own[0].optimizer]
    for name in _at_edge(own[0].setting, tried):
        found.append(f"The best {name} lies at the edge of what was tried.")
    return found


def _at_edge(setting: Mapping[str, Any], tried: list[Outcome]) -> list[str]:
    """Returns the numbers of a setting that are the extreme ones of the search."""
    names = []
    for name, value in setting.items():
        values: list[Any] = [one.setting.get(name) for one in tried]
        if not all(isinstance(one, int | float) for one in [value, *values]):
            continue
        if len(set(values)) > 1 and value in (min(values), max(values)):
            names.append(name)
    return names
