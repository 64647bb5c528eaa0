"""The comparisons of every pair of optimizers: as cells, as CSV and as LaTeX."""

import math
from collections.abc import Sequence
from typing import Any

from gradjax.analysis.comparison import Table
from gradjax.analysis.family import Pair
from gradjax.analysis.tuned_verdicts import describe_tuned
from gradjax.analysis.verdicts import describe
from gradjax.pages.cells import OUTPERFORMS, number, share_text, words
from gradjax.pages.text import booktabs, csv_table

_COLUMNS = (
    "problem",
    "metric",
    "first",
    "second",
    "verdict",
    "p",
    *OUTPERFORMS,
    "tuned_verdict",
    "tuned_p",
)


def pair_cells(one: Pair) -> dict[str, Any]:
    """Returns the values of a pair; None where there is none."""
    verdict, tuned = one.verdict, one.tuned
    shares = map(number, one.outperforms or (math.nan,) * len(OUTPERFORMS))
    outperforms: dict[str, Any] = dict(zip(OUTPERFORMS, shares, strict=True))
    return {
        "first": one.first,
        "second": one.second,
        "verdict": None if verdict is None else describe(verdict),
        "word": "" if verdict is None else verdict.word,
        "p": None if verdict is None else number(verdict.p_value),
        **outperforms,
        "share": share_text(outperforms) or None,
        "tuned_verdict": None if tuned is None else describe_tuned(tuned),
        "tuned_word": "" if tuned is None else tuned.word,
        "tuned_p": None if tuned is None else number(tuned.p_value),
    }


def pairs_csv(tables: Sequence[Table]) -> str:
    """Returns every pair of every problem as CSV with a header."""
    rows = []
    for table in tables:
        about = {"problem": table.problem, "metric": table.metric.name}
        for one in table.pairs:
            cells = pair_cells(one) | about
            rows.append([cells[name] for name in _COLUMNS])
    return csv_table(_COLUMNS, rows)


def pairs_latex(table: Table) -> str:
    r"""Returns the pairs of one problem as a table for \usepackage{booktabs}."""
    heads = ("first", "second", "settings", "$p$", "P(better)", "optimizers", "$p$")
    names = ("first", "second", "verdict", "p", "share", "tuned_verdict", "tuned_p")
    about = f"{table.problem}: {words(table.metric.name)}, every pair"
    cells = [pair_cells(one) for one in table.pairs]
    return booktabs(
        about, heads, [[_shown(of[name]) for name in names] for of in cells]
    )


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.2g}" if isinstance(value, float) else str(value)
