"""What the lesson on the edge of stability found: its figures, rows and sentence."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjax.report import terminal
from gradjax.types import Series, Trials

_LAST = 3  # the last third of the measurements is the settled part


class Rule(NamedTuple):
    """An optimizer, and its edge of stability."""

    name: str
    optimizer: str  # an expression
    diagnostic: str  # the name of the diagnostic that measures the sharpness
    measured: str  # the name of this sharpness in texts
    threshold: float  # the sharpness times the learning rate at the edge
    bounds: tuple[float, float]  # of the settled mean at the edge


class End(NamedTuple):
    """The sharpness of one trial, as a multiple of its value at the edge.

    The values of a trial that has diverged are None.
    """

    optimizer: str
    measured: str
    threshold: float
    learning_rate: float
    seed: int
    status: str
    settled_mean: float | None = None  # over the last third of the measurements
    settled_low: float | None = None  # the least of these measurements
    settled_high: float | None = None
    first_at_edge: int | None = None  # the step; see `first_at_edge`
    residual: float | None = None  # the median of residual / sharpness in the same part
    loss_first: float | None = None
    loss_last: float | None = None
    is_at_edge: bool = False  # whether the settled mean lies in the bounds of its rule


def ends(rule: Rule, rates: Sequence[float], trials: Trials) -> list[End]:
    """Returns where each trial ended.

    Args:
      rule: the optimizer of the trials.
      rates: the learning rate of each trial, as it was given.
      trials: results with the curves of the diagnostic of the rule.
    """
    return [_end(rule, rate, trials, k) for k, rate in enumerate(rates)]


def _end(rule: Rule, rate: float, trials: Trials, k: int) -> End:
    end = End(
        rule.name,
        rule.measured,
        rule.threshold,
        rate,
        int(trials.seeds[k]),
        str(trials.status[k]),
    )
    if end.status != "finished":
        return end
    curves = {name: series.values[k] for name, series in trials.trace.items()}
    steps, values = relative(rule, trials)
    sharpness, residual = (
        _settled(curves[name])
        for name in (rule.diagnostic, f"{rule.diagnostic}.residual")
    )
    last, (low, high) = _settled(values[k]), rule.bounds
    mean = float(last.mean())
    return end._replace(
        settled_mean=mean,
        settled_low=float(last.min()),
        settled_high=float(last.max()),
        first_at_edge=first_at_edge(Series(steps, values[k])),
        residual=float(np.median(residual / sharpness)),
        loss_first=float(curves["loss"][0]),
        loss_last=float(curves["loss"][-1]),
        is_at_edge=low <= mean <= high,
    )


def relative(rule: Rule, trials: Trials) -> Series:
    """Returns the sharpness over its value at the edge: f[trials, measurements]."""
    product = trials.trace[f"{rule.diagnostic}.times_rate"]
    return Series(product.steps, product.values / rule.threshold)


def first_at_edge(series: Series) -> int | None:
    """Returns the first measured step that is at the edge after one that is below it.

    A trial of Adam begins far above the edge, because its second moment is then that of
    a single gradient.

    Args:
      series: values f[measurements] of one trial, the sharpness over its value at the
        edge.

    Returns:
      The step; None if there is none.
    """
    was_below = np.maximum.accumulate(series.values < 1.0)
    at = np.flatnonzero(was_below & (series.values >= 1.0))
    return int(series.steps[at[0]]) if len(at) else None


def _settled(values: np.ndarray) -> np.ndarray:
    """Returns the last third of the measurements of a trial: f[measurements / 3]."""
    return values[-(len(values) // _LAST) :]


def rows(found: Iterable[End]) -> list[tuple[str, str]]:
    """Returns the rows of the table, one per trial."""
    return [(_name(end), _row(end)) for end in found]


def _name(end: End) -> str:
    return f"{end.optimizer} at {end.learning_rate:g}, seed {end.seed}"


def _row(end: End) -> str:
    if end.settled_mean is None:
        return end.status
    reached = "never at the edge"
    if end.first_at_edge is not None:
        reached = f"at the edge from step {end.first_at_edge:,}"
    return (
        f"{end.settled_mean:.3f} of the edge, measurements from {end.settled_low:.3f}"
        f" to {end.settled_high:.3f}; {reached}; residual {end.residual:.1e}; loss"
        f" {end.loss_first:.3g} to {end.loss_last:.2g}"
    )


def sentence(num_steps: int, found: Sequence[End]) -> str:
    """Returns the sentence of the lesson."""
    names = list(dict.fromkeys(end.optimizer for end in found))
    said = [
        _of_optimizer([end for end in found if end.optimizer == name]) for name in names
    ]
    part = f"Averaged over the last third of {num_steps:,} full-batch steps"
    return f"{part}, {', and '.join(said)}; {_conclusion(found)}"


def _of_optimizer(found: list[End]) -> str:
    first, rates = found[0], dict.fromkeys(end.learning_rate for end in found)
    means = [
        _of_rate(rate, [end for end in found if end.learning_rate == rate])
        for rate in rates
    ]
    product = f"{first.measured} x rate / {first.threshold:g}"
    return f"the {product} of {first.optimizer} is {terminal.join_words(means)}"


def _of_rate(rate: float, found: list[End]) -> str:
    """Returns the mean of a rate over its seeds, with their range."""
    means = [end.settled_mean for end in found if end.settled_mean is not None]
    if not means:
        return f"not finite at {rate:g}"
    spread = f" ({min(means):.3f} to {max(means):.3f})" if len(means) > 1 else ""
    return f"{np.mean(means):.3f}{spread} at {rate:g}"


def _conclusion(found: Sequence[End]) -> str:
    away = [end for end in found if not end.is_at_edge]
    edge = "1 is the edge of stability"
    if not away:
        return f"{edge}, where every run has settled"
    names = terminal.join_words([f"{_name(end)} ({_why(end)})" for end in away])
    return f"{edge}, where these runs have not settled: {names}"


def _why(end: End) -> str:
    if end.settled_mean is None:
        return end.status
    return "below it" if end.settled_mean < 1.0 else "above it"


def figures(found: Iterable[End]) -> dict[str, Any]:
    """Returns the figures for summary.json, with an entry for each trial."""
    return {"runs": [end._asdict() for end in found]}
