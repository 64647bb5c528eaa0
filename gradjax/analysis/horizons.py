"""Speed-ups over the baseline, from the ends of runs of several lengths."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradjax.analysis.comparison import Row, Table
from gradjax.analysis.speedup import Speedup, speedup

# A problem with its budget, as records name it.
_LABEL = re.compile(r"^(.*), ([\d,]+) (gradients|steps)(, batch size .*)?$", re.DOTALL)


class HorizonSpeedup(NamedTuple):
    """How much shorter the runs of an optimizer can be than those of the baseline."""

    problem: str  # without its budget
    optimizer: str
    baseline: str
    horizon: int  # length of the baseline's runs
    unit: str  # of the horizons: "gradients" or "steps"
    horizons: tuple[int, ...]  # lengths of the optimizer's runs
    speedup: Speedup


def budget_of(label: str) -> tuple[str, int, str] | None:
    """Splits the label of a problem into (problem, length of its runs, unit).

    Returns:
      None if the label names no budget.
    """
    if (found := _LABEL.match(label)) is None:
        return None
    name, length, unit, size = found.groups(default="")
    return name + size, int(length.replace(",", "")), unit


def speedups(tables: Sequence[Table]) -> list[HorizonSpeedup]:
    """Computes the speed-up of each optimizer at the longest horizon of the baseline.

    Tables of one problem with other budgets are its horizons. Each optimizer was tuned
    for each of them, so the ends are those of complete runs. An optimizer with a
    diverged seed, or with other seeds than the baseline, is left out.

    Args:
      tables: one per problem with its budget and metric.

    Returns:
      One speed-up per problem and optimizer, for problems with at least 2 horizons, a
      baseline and 2 common seeds.
    """
    groups: dict[tuple[str, ...], list[tuple[int, Table]]] = {}
    for table in tables:
        if (found := budget_of(table.problem)) is not None and table.baseline:
            name, horizon, unit = found
            key = (name, unit, table.metric.name, table.baseline)
            groups.setdefault(key, []).append((horizon, table))
    return [
        one
        for key, own in groups.items()
        if len({horizon for horizon, _ in own}) > 1
        for one in _of_problem(key, sorted(own, key=lambda pair: pair[0]))
    ]


def _of_problem(
    key: tuple[str, ...], own: list[tuple[int, Table]]
) -> list[HorizonSpeedup]:
    problem, unit, _, baseline = key
    horizons = tuple(horizon for horizon, _ in own)
    rows = [{row.optimizer: row for row in table.rows} for _, table in own]
    theirs = rows[-1].get(baseline)
    direction = own[0][1].metric.direction
    found = []
    for name in rows[-1]:
        ours = [one[name] for one in rows if name in one]
        if theirs is None or name == baseline or len(ours) < len(rows):
            continue
        if all(_is_like(row, theirs) for row in [*ours, theirs]):
            values = np.stack([row.values for row in ours])
            ratio = speedup(horizons, values, horizons[-1], theirs.values, direction)
            about = (problem, name, baseline, horizons[-1], unit, horizons)
            found.append(HorizonSpeedup(*about, ratio))
    return found


def _is_like(row: Row, other: Row) -> bool:
    """Returns whether a row has the seeds of another one, and none that diverged."""
    return row.seeds == other.seeds and len(row.seeds) > 1 and not row.num_diverged
