"""What is known of many trials, on the host: entered by stretches, then closed."""

from typing import Any, NamedTuple

import jax
import numpy as np

from gradjax import optimizers
from gradjax.training.blocks import num_blocks
from gradjax.training.segment import Seen
from gradjax.training.traces import window_ends, window_starts, windowed
from gradjax.types import Hparams, Plan, Series, Target, TrainState, Trials


class Book(NamedTuple):
    """Arrays with a leading axis of trials, written in place."""

    every: int  # steps a point of the trace
    state: Any  # a pytree, [trials, ...]
    params: Any  # at evaluation, where that is not in the state; else {}
    trace: dict[str, np.ndarray]  # f32[trials, points]
    validation: dict[str, np.ndarray]  # f32[trials, blocks]
    last: dict[str, dict[str, np.ndarray]]  # split -> metric -> f32[trials]
    num_gradients: np.ndarray  # i64[trials], so far
    diverged_step: np.ndarray  # i64[trials], 0 where none is
    stopped_step: np.ndarray  # i64[trials], where successive halving ended it; or 0
    is_set_aside: np.ndarray  # bool[trials]: it ended the process, and has no result


def opened(state: Any, seen: Seen, plan: Plan, every: int, num_trials: int) -> Book:
    """An empty book.

    Args:
      state: shapes [width, ...] of a stretch's state.
      seen: shapes [width, ...] of what a stretch reports.
      plan: of the run.
      every: steps a point of the trace.
      num_trials: rows.
    """

    def rows(shapes: Any, *length: int) -> Any:
        return jax.tree.map(
            lambda _: np.full((num_trials, *length), np.nan, np.float32), shapes
        )

    def blank(shapes: Any) -> Any:
        return jax.tree.map(
            lambda x: np.zeros((num_trials, *x.shape[1:]), x.dtype), shapes
        )

    num_points = len(window_starts(plan, every, 0, num_blocks(plan)))
    return Book(
        every,
        blank(state),
        blank(seen.params),
        rows(_curves(seen), num_points),
        rows(seen.validation, num_blocks(plan)),
        rows(seen.last),
        *(np.zeros(num_trials, np.int64) for _ in range(3)),
        is_set_aside=np.zeros(num_trials, bool),
    )


def enter(
    plan: Plan,
    book: Book,
    group: np.ndarray,
    stretch: tuple[int, int],
    state: TrainState,
    seen: Seen,
) -> None:
    """Writes what a stretch of a batch gave; copies that filled it up say the same.

    Args:
      plan: of the run.
      book: written to.
      group: i64[width], which trials.
      stretch: (first block, blocks).
      state: at its end, [width, ...].
      seen: on it, [width, ...].
    """
    first, count = stretch
    start = first * plan.block_steps
    num_steps = min(count * plan.block_steps, plan.num_steps - start)

    def put(old: np.ndarray, new: np.ndarray) -> None:
        old[group] = new

    jax.tree.map(put, (book.state, book.params), (state, seen.params))
    jax.tree.map(put, book.last, seen.last)
    flat = {
        name: values.reshape(len(group), -1)[:, :num_steps]
        for name, values in _curves(seen).items()
    }
    starts = window_starts(plan, book.every, first, count)
    ends = window_ends(plan, book.every, first, count)
    for name, values in flat.items():
        book.trace[name][group, _points(plan, book, stretch)] = windowed(
            values, starts, ends
        )
    for name, values in seen.validation.items():
        book.validation[name][group, first : first + count] = values[:, :count]
    is_bad = ~np.isfinite(flat["loss"])
    taken = np.where(is_bad.any(axis=1), is_bad.argmax(axis=1) + 1, num_steps)
    book.diverged_step[group] = np.where(is_bad.any(axis=1), start + taken, 0)
    book.num_gradients[group] += _num_gradients(plan, flat, taken)


def entries(
    plan: Plan, book: Book, rows: np.ndarray, stretch: tuple[int, int]
) -> dict[str, np.ndarray]:
    """What a stretch wrote of some trials, to be kept.

    Returns:
      `trace/<name>` f32[rows, points], `validation/<name>` f32[rows, blocks] (NaN where
      none was due), `last/<split>/<metric>` f32[rows] (NaN before the end); the steps
      taken at each: `trace_step` i64[points], `validation_step` i64[blocks]; `rows`,
      `diverged_step` and `num_gradients` i64[rows]; `is_set_aside` bool[rows].
    """
    first, count = stretch
    points = _points(plan, book, stretch)
    kept = {f"trace/{name}": v[rows, points] for name, v in book.trace.items()}
    for name, values in book.validation.items():
        kept[f"validation/{name}"] = values[rows, first : first + count]
    for split, means in book.last.items():
        for name, values in means.items():
            kept[f"last/{split}/{name}"] = values[rows]
    return kept | {
        "trace_step": window_ends(plan, book.every, first, count),
        "validation_step": _taken(plan)[first : first + count],
        "rows": rows,
        "diverged_step": book.diverged_step[rows],
        "num_gradients": book.num_gradients[rows],
        "is_set_aside": book.is_set_aside[rows],
    }


def enter_entries(
    plan: Plan, book: Book, stretch: tuple[int, int], kept: dict[str, np.ndarray]
) -> None:
    """Writes what `entries` gave back into a book."""
    first, count = stretch
    rows = kept["rows"]
    for path, values in kept.items():
        part, *names = path.split("/")
        if part == "trace":
            book.trace[names[0]][rows, _points(plan, book, stretch)] = values
        elif part == "validation":
            book.validation[names[0]][rows, first : first + count] = values
        elif part == "last":
            book.last[names[0]][names[1]][rows] = values
    book.diverged_step[rows] = kept["diverged_step"]
    book.num_gradients[rows] = kept["num_gradients"]
    book.is_set_aside[rows] = kept["is_set_aside"]


def closed(
    plan: Plan,
    book: Book,
    hparams: Hparams,
    seeds: np.ndarray,
    times: tuple[float, float],
) -> Trials:
    """The trials, once all of them are at their end or have diverged.

    Nothing is told of a trial after the step at which it diverged: how far its lane
    went on until it was gathered out is chance.
    """
    params = book.params or book.state.params
    is_finite = np.ones(len(seeds), bool)
    for leaf in jax.tree.leaves(params):
        is_finite &= np.isfinite(leaf).reshape(len(seeds), -1).all(axis=1)
    ended = np.where(is_finite, 0, plan.num_steps)
    diverged_step = np.where(book.diverged_step > 0, book.diverged_step, ended)
    for row in np.flatnonzero(diverged_step | book.is_set_aside):
        _cut(plan, book, int(row), int(diverged_step[row]))
    blocks = num_blocks(plan)
    points = window_ends(plan, book.every, 0, blocks).astype(np.int32)
    trace = {name: Series(points, rows) for name, rows in book.trace.items()}
    taken = _taken(plan)
    is_due = (taken % plan.eval_every == 0) | (taken == plan.num_steps)
    for name, rows in book.validation.items():
        due = taken[is_due].astype(np.int32)
        trace[f"validation_{name}"] = Series(due, rows[:, is_due])
    return Trials(
        hparams,
        seeds,
        params,
        trace,
        _evaluation(book),
        diverged_step,
        book.stopped_step,
        book.is_set_aside,
        book.num_gradients,
        *_best(trace, plan.problem.target, len(seeds)),
        *times,
    )


def _evaluation(book: Book) -> dict[str, dict[str, np.ndarray]]:
    """At the end; validation is what was seen last on the way."""
    seen = {name: rows[:, -1] for name, rows in book.validation.items()}
    return {"validation": seen, **book.last} if seen else book.last


def _best(
    trace: dict[str, Series], target: Target, num_trials: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best validation, its step, and the first step at the target, or 0."""
    zero = np.zeros(num_trials, np.int64)
    series = trace.get(f"validation_{target.metric}")
    if series is None:
        return np.full(num_trials, np.nan, np.float32), zero, zero
    sign = 1.0 if target.mode == "max" else -1.0
    losses = trace.get("validation_loss", series)  # an accuracy is finite on NaN
    is_finite = np.isfinite(series.values) & np.isfinite(losses.values)
    scores = np.where(is_finite, sign * series.values, -np.inf)
    at = scores.argmax(axis=1)
    best = np.take_along_axis(series.values, at[:, None], axis=1)[:, 0]
    is_known = np.isfinite(scores).any(axis=1)
    step = np.where(is_known, series.steps[at], 0).astype(np.int64)
    if target.value is None:
        return np.where(is_known, best, np.nan), step, zero
    is_met = scores >= sign * np.float32(target.value)
    met = np.where(is_met.any(axis=1), series.steps[is_met.argmax(axis=1)], 0)
    return np.where(is_known, best, np.nan), step, met.astype(np.int64)


def _cut(plan: Plan, book: Book, row: int, step: int) -> None:
    """Forgets what is after a step; all of a trial that was set aside, at step 0."""
    starts = window_starts(plan, book.every, 0, num_blocks(plan))
    for rows in book.trace.values():
        rows[row, starts >= step] = np.nan
    for rows in book.validation.values():
        rows[row, _taken(plan) >= step] = np.nan
    for means in book.last.values():
        for rows in means.values():
            rows[row] = np.nan


def _points(plan: Plan, book: Book, stretch: tuple[int, int]) -> slice:
    """Which points of the trace a stretch has."""
    first, count = stretch
    before = len(window_starts(plan, book.every, 0, first)) if first else 0
    return slice(before, before + len(window_starts(plan, book.every, first, count)))


def _taken(plan: Plan) -> np.ndarray:
    """Steps taken at the end of each block: i64[blocks]."""
    ends = np.arange(1, num_blocks(plan) + 1) * plan.block_steps
    return np.minimum(ends, plan.num_steps)


def _curves(seen: Seen) -> dict[str, Any]:
    info = seen.infos
    return {"loss": info.loss, "learning_rate": info.learning_rate, **info.aux}


def _num_gradients(
    plan: Plan, flat: dict[str, np.ndarray], taken: np.ndarray
) -> np.ndarray:
    """Gradients spent in a stretch, up to its end or to divergence: i64[rows]."""
    if "num_gradients" not in flat:
        return optimizers.num_gradients(plan.optimizer) * taken
    spent = flat["num_gradients"]
    is_before = np.arange(spent.shape[1]) < taken[:, None]
    return np.where(is_before, spent, 0).sum(axis=1).astype(np.int64)
