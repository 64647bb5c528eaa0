"""The main table of a report as CSV and as LaTeX."""

from collections.abc import Sequence
from typing import Any

from gradjax.analysis.comparison import Row, Table
from gradjax.analysis.horizons import speedups
from gradjax.pages.cells import OUTPERFORMS, command_of, figure, row_cells, words
from gradjax.pages.pairs import pairs_latex
from gradjax.pages.profiles import profiles
from gradjax.pages.searches import basins, sensitivities
from gradjax.pages.speedups import speedups_latex
from gradjax.pages.text import booktabs, csv_table, latex

COLUMNS = (
    "problem",
    "metric",
    "optimizer",
    "setting",
    "mean",
    "low",
    "high",
    "median",
    "diverged",
    "failed",
    "seeds",
    "p",
    "verdict",
    "doubts",
    "interquartile_mean",
    "interquartile_low",
    "interquartile_high",
    "deviation",
    "resolution",
    *OUTPERFORMS,
    "tuned_verdict",
    "tuned_p",
    "sensitivity",
    "basin_decades",
    "target",
    "to_target",
    "unit",
    "reached",
    "seconds_to_target",
    "target_p",
    "command",
    "source",
)


def to_csv(tables: Sequence[Table]) -> str:
    """Returns all rows of all problems as CSV with a header.

    A text that a spreadsheet would read as a formula begins with an apostrophe.
    """
    rows = []
    for table in tables:
        width = {one["optimizer"]: one["decades"] for one in basins(table)}
        excess = {one["optimizer"]: one["value"] for one in sensitivities(table)}
        for row in table.rows:
            command, source = command_of(row, table)
            cells = row_cells(row, table) | {
                "problem": table.problem,
                "metric": table.metric.name,
                "setting": _setting(row, table),
                "doubts": " ".join(row.doubts),
                "sensitivity": excess[row.optimizer],
                "basin_decades": width.get(row.optimizer),
                "target": None if table.target is None else table.target.value,
                "unit": table.unit if row.arrivals else None,
                "command": command,
                "source": source,
            }
            rows.append([cells[name] for name in COLUMNS])
    return csv_table(COLUMNS, rows)


def to_latex(tables: Sequence[Table]) -> str:
    r"""Returns the tables for \usepackage{booktabs}: of each problem, and over all."""
    found = [_latex_table(table) for table in tables]
    found += [pairs_latex(table) for table in tables if table.pairs]
    if ratios := speedups(tables):
        found.append(speedups_latex(ratios))
    if (scores := profiles(tables)) is not None:
        found.append(_latex_scores(scores))
    return "\n\n".join(found) + "\n"


def _setting(row: Row, table: Table) -> str:
    return ", ".join(f"{k}={v}" for k, v in row_cells(row, table)["setting"].items())


def _latex_table(table: Table) -> str:
    arrow = r"$\downarrow$" if table.metric.direction == "min" else r"$\uparrow$"
    metric = f"{latex(words(table.metric.name))} {arrow}"
    heads = ("optimizer", "setting", metric, "seeds", "verdict")
    return booktabs(table.problem, heads, [_texts(row, table) for row in table.rows])


def _latex_scores(scores: dict[str, Any]) -> str:
    """Returns the table of ranks and integrals over several problems."""
    rows = [
        [row["optimizer"], *(f"{value:.4f}" for value in row["values"])]
        for row in scores["rows"]
    ]
    return booktabs("all problems", list(map(latex, scores["heads"])), rows)


def _texts(row: Row, table: Table) -> list[str]:
    if row.interval is None:
        value = row.lost
    else:
        estimate, low, high = map(figure, row.interval)
        value = f"{estimate} [{low}, {high}]"
    is_base = row.optimizer == table.baseline
    verdict = row_cells(row, table)["verdict"]
    verdict = verdict or ("baseline" if is_base else "not compared")
    return [row.optimizer, _setting(row, table), value, str(len(row.seeds)), verdict]
