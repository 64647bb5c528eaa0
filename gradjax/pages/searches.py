"""What the searches of a comparison show: basins of the rate, and the best of k."""

from typing import Any

import numpy as np

from gradjax.analysis.comparison import Row, Table
from gradjax.analysis.digits import significant
from gradjax.analysis.searches import Searched
from gradjax.analysis.sensitivity import Basin, basin, learning_rate_sensitivity
from gradjax.analysis.tuning_curves import best_of_band, median_best_of, overtaking
from gradjax.pages.cells import number

_FEWEST_TRIALS = 2  # for a curve over the number of trials
_MOST_IN_BAND = 200  # trials; the exact band of more takes minutes
_RATE = "learning_rate"


def best_of(table: Table) -> list[dict[str, Any]]:
    """Returns the median best of k settings of each optimizer that was tuned.

    Returns:
      [{"optimizer", "method", "median", "low", "high"}], f64[k] each. The band is None
      where the settings were not drawn independently, where it would be only
      approximate, and its bounds are None where the trials bound nothing.
    """
    found = []
    for optimizer, of in table.searches.items():
        if of.values.size < _FEWEST_TRIALS:
            continue
        counts = np.arange(1, of.values.size + 1)
        median = median_best_of(of.values, counts, table.metric.direction)
        one = {"optimizer": optimizer, "method": of.method, "low": None, "high": None}
        if of.is_uniform and of.values.size <= _MOST_IN_BAND:
            band = best_of_band(of.values, counts, table.metric.direction)
            one |= {"low": _numbers(band.low), "high": _numbers(band.high)}
        found.append(one | {"median": _numbers(median)})
    return found


def overtakings(table: Table) -> list[dict[str, Any]]:
    """Returns from which number of trials on an optimizer is ahead of another one.

    Returns:
      [{"first", "second", "trials"}] for the pairs in which the first one is behind
      with fewer trials.
    """
    found = []
    for first, ours in table.searches.items():
        for second, theirs in table.searches.items():
            if min(ours.values.size, theirs.values.size) < _FEWEST_TRIALS:
                continue
            at = overtaking(ours.values, theirs.values, table.metric.direction)
            if first != second and at is not None and at > 1:
                found.append({"first": first, "second": second, "trials": at})
    return found


def basins(table: Table) -> list[dict[str, Any]]:
    """Returns the learning rates of each optimizer that are nearly as good as its best.

    Good is what lies within one standard error of the fresh seeds. Without two fresh
    seeds that ended there is no tolerance, and the optimizer is left out;
    `sensitivities` says so.

    Returns:
      [{"optimizer", "best", "value", "low", "high", "isLowOpen", "isHighOpen",
      "decades", "tolerance", "text"}].
    """
    rows = {row.optimizer: row for row in table.rows}
    found = []
    for optimizer, of in table.searches.items():
        row = rows.get(optimizer)
        rates, values = _by_rate(of, table.metric.direction)
        error = np.nan if row is None else _standard_error(row)
        if rates.size < 2 or not np.isfinite(values).any() or not np.isfinite(error):
            continue
        one = basin(rates, values, error, table.metric.direction)
        found.append(
            {
                "optimizer": optimizer,
                "best": one.best_rate,
                "value": _best(values, table.metric.direction),
                "low": float(one.low),
                "high": float(one.high),
                "isLowOpen": one.is_low_open,
                "isHighOpen": one.is_high_open,
                "decades": one.decades,
                "tolerance": error,
                "text": _basin_text(optimizer, one),
            }
        )
    return found


def sensitivities(table: Table) -> list[dict[str, Any]]:
    """Returns the sensitivity of each optimizer to its learning rate.

    It is the mean over the tried rates of what a rate loses against the best one. The
    bound of a loss is the value before training. This value is not stored, so the
    bound is the first evaluation of the trial with the smallest rate, which has changed
    least; of all optimizers, the worst of these values.

    Returns:
      [{"optimizer", "value", "text"}] for every optimizer of the table; the value is
      None where the text says why there is no sensitivity, or why there is no basin.

    Source:
      Wortsman et al., 2023, arXiv:2309.14322, see `learning_rate_sensitivity`.
    """
    with_basin = {one["optimizer"] for one in basins(table)}
    return [
        _sensitivity(row, table, has_basin=row.optimizer in with_basin)
        for row in table.rows
    ]


def _sensitivity(row: Row, table: Table, *, has_basin: bool) -> dict[str, Any]:
    sign = 1.0 if table.metric.direction == "min" else -1.0
    of, bound = table.searches.get(row.optimizer), _untrained(table)
    one: dict[str, Any] = {"optimizer": row.optimizer, "value": None}
    rates, values = (np.empty(0), np.empty(0))
    if of is not None:
        rates, values = _by_rate(of, table.metric.direction)
    if rates.size < 2:
        said = "its search tried fewer than two learning rates"
        return one | {"text": f"{row.optimizer}: no basin, because {said}"}
    if not np.isfinite(values).any():
        said = "no trial of its search ended"
        return one | {"text": f"{row.optimizer}: no basin, because {said}"}
    text = "" if has_basin else "no basin, because its fresh seeds have no spread; "
    if bound is None:
        text += "no sensitivity, because no curve of a search is stored"
    else:
        losses = sign * values
        value = learning_rate_sensitivity(losses, sign * bound, rates)
        one["value"] = value
        text += (
            f"sensitivity {significant(value, 2)} over the rates from"
            f" {significant(rates.min(), 2)} to {significant(rates.max(), 2)}"
        )
    return one | {"text": f"{row.optimizer}: {text}"}


def _untrained(table: Table) -> float | None:
    """Returns the value of a network that has hardly changed; None if not known."""
    found = []
    for of in table.searches.values():
        firsts = {
            float(one.setting[_RATE]): float(one.curve.values[0])
            for trials in of.trials
            for one in trials
            if isinstance(one.setting.get(_RATE), int | float)
            if len(one.curve.values) and np.isfinite(one.curve.values[0])
        }
        found += [firsts[min(firsts)]] if firsts else []
    if not found:
        return None
    return max(found) if table.metric.direction == "min" else min(found)


def without_best_of(table: Table) -> list[str]:
    """Returns why an optimizer has no curve of the best of k trials, a line each."""
    said = []
    for row in table.rows:
        of = table.searches.get(row.optimizer)
        if of is None or of.values.size < _FEWEST_TRIALS:
            reason = "fewer than two settings were tried"
        elif not np.isfinite(of.values).any():
            reason = "no trial ended"
        else:
            continue
        said.append(f"{row.optimizer}: no curve, because {reason}.")
    return said


def _numbers(values: np.ndarray) -> list[float | None]:
    return [number(value) for value in values.tolist()]


def _best(values: np.ndarray, direction: str) -> float:
    return float(np.nanmin(values) if direction == "min" else np.nanmax(values))


def _standard_error(row: Row) -> float:
    return row.deviation / np.sqrt(len(row.values))


def _by_rate(of: Searched, direction: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the positive rates that were tried, and the best value at each."""
    best: dict[float, float] = {}
    is_low = direction == "min"
    for setting, value in zip(of.settings, of.values.tolist(), strict=True):
        rate = setting.get(_RATE)
        if not isinstance(rate, int | float) or rate <= 0:
            continue
        old = best.get(rate, np.nan)
        best[rate] = float(np.fmin(old, value) if is_low else np.fmax(old, value))
    return np.array(list(best)), np.array(list(best.values()))


def _basin_text(optimizer: str, one: Basin) -> str:
    ends = [
        name
        for name, is_open in (("low", one.is_low_open), ("high", one.is_high_open))
        if is_open
    ]
    said = (
        f"{optimizer}: {'at least ' if ends else ''}{one.decades:.2f} decades, from "
        f"{significant(one.low, 2)} to {significant(one.high, 2)}"
    )
    return f"{said}; still good at the {' and the '.join(ends)} end" if ends else said
