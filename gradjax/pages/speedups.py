"""The speed-ups over several horizons as CSV and as LaTeX."""

import math
from collections.abc import Sequence

from gradjax.analysis.digits import significant
from gradjax.analysis.horizons import HorizonSpeedup
from gradjax.pages.text import booktabs, csv_table

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
    rows = []
    for one in found:
        about = (one.problem, one.optimizer, one.baseline, one.horizon, one.unit)
        lengths = " ".join(map(str, one.horizons))
        values = [_known(value) for value in one.speedup or (None, None, None)]
        rows.append((*about, lengths, *values, one.reason))
    return csv_table(_COLUMNS, rows)


def speedups_latex(found: Sequence[HorizonSpeedup]) -> str:
    r"""Returns a table for \usepackage{booktabs}."""
    heads = ("problem", "optimizer", "baseline", "speed-up")
    rows = [(one.problem, one.optimizer, one.baseline, _shown(one)) for one in found]
    return booktabs("speed-ups", heads, rows)


def _known(value: float | None) -> float | None:
    """Returns a value, or None for one that is not known; a bound may be infinite."""
    return None if value is None or math.isnan(value) else value


def _shown(one: HorizonSpeedup) -> str:
    if one.speedup is None:
        return f"none: {one.reason}"
    estimate, low, high = (significant(value) for value in one.speedup)
    return f"{estimate} [{low}, {high}]"
