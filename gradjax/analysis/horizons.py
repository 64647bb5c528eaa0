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
    speedup: Speedup | None  # None: it cannot be computed
    reason: str = ""  # why not, a clause
    is_retuned: bool = True  # whether both were tuned anew for each length


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

    Tables of one problem with other budgets are its horizons. The ends are those of
    complete runs, whose schedule was fitted to each horizon. An optimizer with a
    diverged seed, with other seeds than the baseline or without one of the horizons has
    no speed-up, and the reason is stated.

    Args:
      tables: one per problem with its budget and metric.

    Returns:
      One speed-up per problem and optimizer, for problems with at least 2 horizons and
      a baseline.
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
    theirs = rows[-1][baseline]
    direction = own[0][1].metric.direction
    found = []
    for name in dict.fromkeys(name for one in reversed(rows) for name in one):
        if name == baseline:
            continue
        about = (problem, name, baseline, horizons[-1], unit, horizons)
        ours = [one.get(name) for one in rows]
        reason = _obstacle(ours, theirs, horizons, unit)
        ratio = None
        if not reason:
            values = np.stack([row.values for row in ours if row is not None])
            ratio = speedup(horizons, values, horizons[-1], theirs.values, direction)
        is_retuned = not _is_transferred(own, (name, baseline))
        found.append(HorizonSpeedup(*about, ratio, reason, is_retuned))
    return found


def _obstacle(
    ours: Sequence[Row | None], theirs: Row, horizons: Sequence[int], unit: str
) -> str:
    """Returns why there is no speed-up, as a clause; "" if there is one."""
    if theirs.lost:
        return f"{theirs.optimizer} {theirs.lost} seeds at {horizons[-1]:,} {unit}"
    if len(theirs.seeds) < 2:
        return "one seed has no spread"
    for row, horizon in zip(ours, horizons, strict=True):
        at = f"at {horizon:,} {unit}"
        if row is None:
            return f"it was not run {at}"
        if row.lost:
            return f"it {row.lost} seeds {at}"
        if row.seeds != theirs.seeds:
            return f"its seeds {at} are not those of {theirs.optimizer}"
    return ""


def _is_transferred(own: list[tuple[int, Table]], names: tuple[str, ...]) -> bool:
    """Returns whether a setting of these optimizers was chosen at another horizon."""
    trials = [one for _, table in own for one in table.outcomes]
    return any(one.chosen_at for one in trials if one.optimizer in names)
