"""The speed-ups over several horizons as CSV and as LaTeX."""

import csv
import io
import math
from collections.abc import Sequence

from gradjax.analysis.digits import significant
from gradjax.analysis.horizons import HorizonSpeedup
from gradjax.pages.text import csv_cell, latex

_COLUMNS = (
    "problem",
    "optimizer",
    "baseline",
    "horizon",
    "unit",
    "horizons",
    "speedup",
    "low",
    "high",
    "reason",
)


def speedups_csv(found: Sequence[HorizonSpeedup]) -> str:
    """Returns a row for each optimizer, with the reason where there is no speed-up."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in found:
        about = (one.problem, one.optimizer, one.baseline, one.horizon, one.unit)
        lengths = " ".join(map(str, one.horizons))
        values = [_known(value) for value in one.speedup or (None, None, None)]
        row = (*about, lengths, *values, one.reason)
        writer.writerow([csv_cell(value) for value in row])
    return out.getvalue()


def speedups_latex(found: Sequence[HorizonSpeedup]) -> str:
    r"""Returns a table for \usepackage{booktabs}."""
    lines = [
        "% speed-ups",
        r"\begin{tabular}{llll}",
        r"\toprule",
        r"problem & optimizer & baseline & speed-up \\",
        r"\midrule",
        *(
            " & ".join(
                map(latex, (one.problem, one.optimizer, one.baseline, _shown(one)))
            )
            + r" \\"
            for one in found
        ),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


def _known(value: float | None) -> float | None:
    """Returns a value, or None for one that is not known; a bound may be infinite."""
    return None if value is None or math.isnan(value) else value


def _shown(one: HorizonSpeedup) -> str:
    if one.speedup is None:
        return f"none: {one.reason}"
    estimate, low, high = (significant(value) for value in one.speedup)
    return f"{estimate} [{low}, {high}]"
