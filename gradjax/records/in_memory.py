"""Rows and curves of results in memory, with the columns of those of a folder."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradjax.trials.collect import row
from gradjax.types import Result, Trials


def rows(found: Trials | Result) -> list[dict[str, Any]]:
    """Returns a row for each trial, with the columns of `records.reading.rows`."""
    kind = "run" if isinstance(found, Result) else "search"
    return [
        {"trial": k, "round": kind, "group": "", **_row(one)}
        for k, one in enumerate(_results(found))
    ]


def curves(found: Trials | Result) -> Iterator[tuple[Any, ...]]:
    """Yields (trials, name, steps, values) of each curve of each trial without NaN."""
    for k, one in enumerate(_results(found)):
        for name, (steps, values) in one.trace.items():
            is_seen = ~np.isnan(values)
            count = int(is_seen.sum())
            yield np.full(count, k), name, np.asarray(steps)[is_seen], values[is_seen]


def _results(found: Trials | Result) -> list[Result]:
    if isinstance(found, Result):
        return [found]
    return [row(found, k) for k in range(len(found.status))]


def _row(one: Result) -> dict[str, Any]:
    metrics = {
        f"{split}_{name}": value
        for split, means in one.evaluation.items()
        for name, value in means.items()
    }
    for name in [name[5:] for name in metrics if name.startswith("test_")]:
        metrics.setdefault(f"train_{name}", np.nan)  # a sweep leaves it out
    # The text of a float32 is the shortest that names it, as in the journal.
    hparams = {name: float(str(x)) for name, x in one.hparams.items() if not np.ndim(x)}
    return {
        "seed": one.seed,
        "optimizer": "",
        "schedule": "",
        **hparams,
        "steps": one.num_steps,
        "diverged_step": one.diverged_step or 0,
        "kept_step": one.kept_step,
        "num_gradients": one.num_gradients,
        "environment": 0,
        **metrics,
        "status": one.status,
    }
