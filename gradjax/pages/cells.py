"""The cells of the main table of a report, as values and as texts."""

import math
from typing import Any

from gradjax.analysis.arrivals import arrivals, summary
from gradjax.analysis.comparison import Row, Table
from gradjax.analysis.digits import significant
from gradjax.analysis.statistics import Interval
from gradjax.analysis.tuned_verdicts import describe_tuned
from gradjax.analysis.verdicts import describe
from gradjax.types.comparisons import Outcome

OUTPERFORMS = ("outperforms", "outperforms_low", "outperforms_high")
_DIGITS = 4  # significant digits of a metric


def number(value: float) -> float | None:
    """Returns a finite number, or None, because JSON has no NaN."""
    return float(value) if math.isfinite(value) else None


def words(name: str) -> str:
    """Returns the words of a name: "test_accuracy" is "test accuracy"."""
    return name.replace("_", " ")


def shown(value: Any) -> str:
    """Returns a setting as a person writes it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def figure(value: float | None) -> str:
    """Returns a metric with four significant digits; "none" if there is none."""
    return "none" if value is None else significant(value, _DIGITS)


def row_cells(row: Row, table: Table) -> dict[str, Any]:
    """Returns the values of a row of the main table; None where there is none."""
    verdict, passes = row.verdict, row.passes
    return {
        "optimizer": row.optimizer,
        "setting": {name: shown(value) for name, value in row.setting.items()},
        "median": number(row.median),
        **_interval(row.interval, "mean", "low", "high"),
        **_interval(
            row.interquartile,
            "interquartile_mean",
            "interquartile_low",
            "interquartile_high",
        ),
        "deviation": number(row.deviation),
        "resolution": row.resolution,
        "diverged": row.num_diverged,
        "failed": row.num_failed,
        "seeds": len(row.seeds),
        "verdict": None if verdict is None else describe(verdict),
        "word": None if verdict is None else verdict.word,
        "p": None if verdict is None else number(verdict.p_value),
        "tuned_verdict": None if row.tuned is None else describe_tuned(row.tuned),
        "tuned_p": None if row.tuned is None else number(row.tuned.p_value),
        **_interval(row.outperforms, *OUTPERFORMS),
        **_arrival(row, table),
        "target_p": None if passes is None else number(passes.p_value),
        "doubts": list(row.doubts),
    }


def command_of(row: Row, table: Table) -> tuple[str, str]:
    """Returns the command that shows the first fresh seed of a row, and its source."""
    own = [one for one in _fresh(table) if one.optimizer == row.optimizer]
    return own[0].command, own[0].source


def _fresh(table: Table) -> list[Outcome]:
    return [one for one in table.outcomes if one.role == "fresh"]


def _interval(interval: Interval | None, *names: str) -> dict[str, float | None]:
    values = (None,) * len(names) if interval is None else map(number, interval)
    return dict(zip(names, values, strict=True))


def _arrival(row: Row, table: Table) -> dict[str, Any]:
    """Returns the median time to target, and how many seeds reached the target."""
    found = summary(row.arrivals)
    if found is None or table.target is None:
        return {"to_target": None, "seconds_to_target": None, "reached": None}
    own = [one for one in _fresh(table) if one.optimizer == row.optimizer]
    seconds = None
    if table.has_seconds:
        about = (table.metric.direction, "seconds", table.horizon("seconds"))
        seconds = summary(arrivals(own, table.target, *about))
    return {
        "to_target": number(found.median),
        "seconds_to_target": None if seconds is None else number(seconds.median),
        "reached": found.num_reached,
    }


def columns(table: Table) -> list[dict[str, Any]]:
    """Returns the columns of the main table that have content, without the optimizer.

    Returns:
      [{"head", "title", "cells"}]: what a column holds, and for each row {"text",
      "value", "word"}: the text, the number by which it sorts (None: last), and the
      word of a verdict, which decides the colour.
    """
    cells = [row_cells(row, table) for row in table.rows]
    return [
        {"head": head, "title": title, "cells": [make(one, table) for one in cells]}
        for head, title, make, is_there in _COLUMNS
        if is_there is None or any(one[is_there] is not None for one in cells)
    ]


def _cell(text: str, value: Any = "", word: str = "") -> dict[str, Any]:
    """Returns a cell; without a value it sorts by its text."""
    return {"text": text, "value": value, "word": word}


def _setting_cell(one: dict[str, Any], _: Table) -> dict[str, Any]:
    said = [
        f"{words(name.removeprefix('optimizer.'))} {value}"
        for name, value in one["setting"].items()
    ]
    return _cell(", ".join(said) or "its defaults")


def _mean_cell(one: dict[str, Any], _: Table) -> dict[str, Any]:
    mean, low, high = one["mean"], one["low"], one["high"]
    bounds = "" if low is None else f" [{figure(low)}, {figure(high)}]"
    return _cell(figure(mean) + bounds, mean)


def _interquartile_cell(one: dict[str, Any], _: Table) -> dict[str, Any]:
    value = one["interquartile_mean"]
    if value is None:
        return _cell("none", None)
    low, high = one["interquartile_low"], one["interquartile_high"]
    return _cell(f"{figure(value)} [{figure(low)}, {figure(high)}]", value)


def _median_cell(one: dict[str, Any], _: Table) -> dict[str, Any]:
    value = one["median"]
    return _cell("none" if value is None else figure(value), value)


def _deviation_cell(one: dict[str, Any], _: Table) -> dict[str, Any]:
    value, resolution = one["deviation"], one["resolution"]
    said = "none" if value is None else significant(value, 2)
    if resolution is not None:
        said += f"; test set {significant(resolution, 2)}"
    return _cell(said, value)


def _diverged_cell(one: dict[str, Any], _: Table) -> dict[str, Any]:
    lost = one["diverged"] + one["failed"]
    said = f"{one['diverged']} of {one['seeds']}"
    if one["failed"]:
        said += f"; {one['failed']} of {one['seeds']} have no result"
    return _cell(said, lost, "diverges" if lost else "")


def _verdict_cell(one: dict[str, Any], table: Table) -> dict[str, Any]:
    if one["verdict"] is None:
        is_base = one["optimizer"] == table.baseline
        return _cell("baseline" if is_base else "not compared", None)
    return _cell(one["verdict"] + _p(one["p"]), one["p"], one["word"])


def _tuned_cell(one: dict[str, Any], table: Table) -> dict[str, Any]:
    if one["tuned_verdict"] is None:
        is_base = one["optimizer"] == table.baseline
        return _cell("baseline" if is_base else "not compared", None)
    row = next(row for row in table.rows if row.optimizer == one["optimizer"])
    assert row.tuned is not None
    said = one["tuned_verdict"] + _p(one["tuned_p"])
    return _cell(said, one["tuned_p"], row.tuned.word)


def share_text(one: dict[str, Any]) -> str:
    """Returns the probability of outperforming with its interval; "" without one."""
    value, low, high = (one[name] for name in OUTPERFORMS)
    if value is None:
        return ""
    return f"{value:.2f}" + ("" if low is None else f" [{low:.2f}, {high:.2f}]")


def _outperforms_cell(one: dict[str, Any], _: Table) -> dict[str, Any]:
    return _cell(share_text(one), one["outperforms"])


def _target_cell(one: dict[str, Any], table: Table) -> dict[str, Any]:
    if one["reached"] is None:
        return _cell("not known", None)
    value, seconds = one["to_target"], one["seconds_to_target"]
    said = f"{one['reached']} of {one['seeds']}"
    if value is None:
        return _cell(f"reached by {said}", None)
    time = f" ({significant(seconds, 3)} s)" if seconds is not None else ""
    return _cell(f"{value:,.0f} {table.unit}{time}, {said}", value)


def _p(value: float | None) -> str:
    return "" if value is None else f" (p = {value:.2g})"


def _target_p_cell(one: dict[str, Any], _: Table) -> dict[str, Any]:
    value = one["target_p"]
    return _cell("" if value is None else f"{value:.2g}", value)


# The head, the explanation, the function that makes a cell, and the value without which
# the column is left out.
_COLUMNS = (
    ("setting", "chosen by the search", _setting_cell, None),
    ("mean", "over the fresh seeds, with Student's 95 % interval", _mean_cell, None),
    (
        "interquartile mean",
        "with a stratified bootstrap interval",
        _interquartile_cell,
        "interquartile_mean",
    ),
    (
        "median",
        "a seed that diverged or has no result is the worst value; none: half of them",
        _median_cell,
        None,
    ),
    (
        "spread",
        "standard deviation over seeds, and the part that the size of the test set "
        "explains: the standard error of an accuracy on so many examples",
        _deviation_cell,
        "deviation",
    ),
    (
        "diverged",
        "seeds that diverged, and seeds that ended the process or never ran",
        _diverged_cell,
        None,
    ),
    (
        "settings",
        "the verdict on the chosen settings, on fresh seeds",
        _verdict_cell,
        None,
    ),
    (
        "P(better)",
        "the share of common seeds on which it is better than the baseline (a tie is "
        "one half), with an exact 95 % interval; from 0.75 on with a lower bound "
        "above 0.5 a difference is called meaningful (Bouthillier et al. 2021)",
        _outperforms_cell,
        "outperforms",
    ),
    (
        "optimizers",
        "the verdict on the optimizers: whether other searches would have decided "
        "otherwise",
        _tuned_cell,
        "tuned_verdict",
    ),
    (
        "to target",
        "the median time over fresh seeds, and how many reached the target",
        _target_cell,
        "reached",
    ),
    (
        "p of the target",
        "one-sided t test that the mean end is better than the target",
        _target_p_cell,
        "target_p",
    ),
)
