"""What a comparison gives: a table for each problem, and lines that show it."""

import math
from pathlib import Path
from typing import Any, NamedTuple

from gradjax.analysis.arrivals import summary
from gradjax.analysis.comparison import Row, Table, compare
from gradjax.analysis.digits import significant
from gradjax.analysis.tuned_verdicts import TunedVerdict, describe_tuned
from gradjax.analysis.verdicts import describe
from gradjax.comparing.asked import Asked
from gradjax.comparing.cells import Cell
from gradjax.comparing.timing import seconds_per_gradient
from gradjax.records import comparisons
from gradjax.report.terminal import join_words, number
from gradjax.types import shown


class Comparison(NamedTuple):
    """What `gradjax.compare` has found.

    Attributes:
      tables: of each problem with its budget; `tables[0].rows` has for each optimizer
        its setting, its values on the fresh seeds, their interval and the verdict
        against the baseline, the best median first; with pairs="all" `tables[0].pairs`
        has the verdicts of every pair.
      baseline: the optimizer that the others are compared with.
      seconds_per_gradient: problem with its budget -> optimizer -> measured seconds.
      workdir: the folder; None if the comparison was not stored.
    """

    tables: tuple[Table, ...]
    baseline: str
    seconds_per_gradient: dict[str, dict[str, float | None]]
    workdir: Path | None

    def __repr__(self) -> str:
        """Returns the best optimizer of each problem in one line."""
        best = {table.problem: table.rows[0].optimizer for table in self.tables}
        return shown.of(
            self,
            tables=best,
            seconds_per_gradient="{...}",
            workdir=str(self.workdir),
        )


def read(asked: Asked, cells: list[Cell], folder: Path, is_stored: bool) -> Comparison:
    """Reads the results of all cells, and compares them on each problem."""
    tables = tuple(
        compare(found, metric, asked.baseline, pairs=asked.pairs)
        for metric, found in comparisons.outcomes_of(folder)
    )
    times: dict[str, dict[str, float | None]] = {}
    for cell in cells:
        if cell.study:
            continue
        seconds = seconds_per_gradient(folder / cell.folder)
        times.setdefault(cell.label, {})[cell.optimizer] = seconds
    return Comparison(tables, asked.baseline, times, folder if is_stored else None)


def shown_tables(found: Comparison) -> list[tuple[str, list[tuple[str, str]]]]:
    """Returns the closing tables: for each its title and its rows of two texts."""
    return [_shown(table, found.seconds_per_gradient) for table in found.tables]


def _shown(
    table: Table, times: dict[str, dict[str, float | None]]
) -> tuple[str, list[tuple[str, str]]]:
    metric, count = table.metric, len(table.rows[0].seeds)
    better = "higher" if metric.direction == "max" else "lower"
    name = metric.name.replace("_", " ")
    title = f"{table.problem}: {name}, {better} is better, {count} fresh seeds"
    own = times.get(table.problem, {})
    rows = [one for row in table.rows for one in _rows(row, table, own)]
    return title, rows + _pairs(table) + _notes(table)


def _rows(row: Row, table: Table, times: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the lines of an optimizer: its value, its verdicts, its times."""
    is_baseline = row.optimizer == table.baseline
    value = _value(row) + (", baseline" if is_baseline else "")
    said = [(row.optimizer, value)]
    if row.verdict is not None and not table.pairs:
        said.append(("", f"the chosen setting: {describe(row.verdict)}"))
    if row.tuned is not None and not table.pairs:
        said.append(("", f"the optimizer, {_tuned(row.tuned)}"))
    spent = list(filter(None, (_arrival(row, table, times), _time(times, row))))
    return [*said, ("", "; ".join(spent))] if spent else said


def _pairs(table: Table) -> list[tuple[str, str]]:
    """Returns the lines of every pair, where these are the family of the verdicts."""
    said = []
    for one in table.pairs:
        about = f"{one.first} against {one.second}"
        if one.verdict is not None:
            said.append((about, f"the chosen settings: {describe(one.verdict)}"))
        if one.tuned is not None:
            said.append(("", f"the optimizers, {_tuned(one.tuned)}"))
    return said


def _tuned(verdict: TunedVerdict) -> str:
    """Returns a verdict on optimizers with its unit, other trials or other tunings."""
    said = describe_tuned(verdict)
    return said if verdict.num_studies > 1 else f"tuned again: {said}"


def _notes(table: Table) -> list[tuple[str, str]]:
    """Returns what limits the statements; what is true of all rows is said once."""
    doubts: dict[str, list[str]] = {}
    for row in table.rows:
        for doubt in row.doubts:
            doubts.setdefault(doubt, []).append(row.optimizer)
    return [
        (
            "note",
            doubt if len(names) == len(table.rows) else f"{join_words(names)}: {doubt}",
        )
        for doubt, names in doubts.items()
    ]


def _value(row: Row) -> str:
    if row.interval is None:
        return row.lost
    mean, low, high = row.interval
    return f"{number(mean)} [{number(low)}, {number(high)}]"


def _arrival(row: Row, table: Table, times: dict[str, Any]) -> str:
    """Returns how many gradients the seeds needed to reach the target."""
    found, per_gradient = summary(row.arrivals), times.get(row.optimizer)
    if found is None or table.target is None:
        return ""
    target = f"{significant(table.target.value)} reached by {found.num_reached}"
    said = f"{target} of {found.num_runs} seeds"
    if not math.isfinite(found.median):
        return said
    time = ""
    if per_gradient is not None and table.unit == "gradients":
        time = f", {significant(found.median * per_gradient)} s"
    return f"{said}, median after {found.median:,.0f} {table.unit}{time}"


def _time(times: dict[str, Any], row: Row) -> str:
    seconds = times.get(row.optimizer)
    return "" if seconds is None else f"{1e6 * seconds:,.0f} us a gradient"
