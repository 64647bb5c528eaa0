"""The gradients that a trial has spent at each step, where their number varies."""

import warnings
from pathlib import Path

import numpy as np

from gradjax.records import opening, reading
from gradjax.types import Series
from gradjax.types.comparisons import Outcome

_CURVE = "num_gradients"  # the mean number of gradients of a step


def of_trials(folder: Path) -> dict[str, Series]:
    """Returns trial id -> the gradients spent after so many steps, f64[points]."""
    store = opening.open_to_read(folder, say=warnings.warn)
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for trials, name, steps, values in reading.curves(store):
        for trial in np.unique(trials) if name == _CURVE else ():
            own = trials == trial
            parts.setdefault(str(trial), []).append((steps[own], values[own]))
    return {trial: _summed(own) for trial, own in parts.items()}


def in_gradients(one: Outcome, spent: dict[str, Series]) -> Outcome:
    """Returns an outcome whose steps are gradients.

    The points of its curve are at the gradients that it had spent at its evaluations,
    which differ from seed to seed. `analysis.curve_grid` gives seeds common steps.

    Args:
      one: of a record; its source ends with the id of its trial.
      spent: what `of_trials` returns for the record.
    """
    own = spent.get(one.source.rpartition("trial ")[2])
    if own is None:
        return one._replace(steps=one.num_gradients)
    at = np.interp(one.curve.steps, own.steps, own.values)
    return one._replace(
        curve=Series(at, one.curve.values),
        steps=one.num_gradients,
        diverged_step=int(np.interp(one.diverged_step, own.steps, own.values))
        if one.diverged_step
        else 0,
    )


def _summed(parts: list[tuple[np.ndarray, np.ndarray]]) -> Series:
    """Returns the sum over steps of a curve whose points are means over windows."""
    steps, means = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(steps, kind="stable")
    steps, means = steps[order], means[order].astype(np.float64)
    widths = np.diff(steps, prepend=0)
    return Series(
        np.concatenate([[0], steps]), np.concatenate([[0.0], np.cumsum(means * widths)])
    )
