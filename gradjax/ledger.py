"""What is known of many trials, on the host: entered by stretches, then closed."""

from typing import Any, NamedTuple

import jax
import numpy as np

from gradjax import optimizers
from gradjax.blocks import num_blocks
from gradjax.segment import Seen
from gradjax.types import Hparams, Plan, Series, TrainState, Trials


class Book(NamedTuple):
    """Arrays with a leading axis of trials, written in place."""

    state: Any  # a pytree, [trials, ...]
    params: Any  # at evaluation, where that is not in the state; else {}
    trace: dict[str, np.ndarray]  # f32[trials, steps]
    validation: dict[str, np.ndarray]  # f32[trials, blocks]
    last: dict[str, dict[str, np.ndarray]]  # split -> metric -> f32[trials]
    diverged_step: np.ndarray  # i64[trials], 0 where none is
    stopped_step: np.ndarray  # i64[trials], where successive halving ended it; or 0


def opened(state: Any, seen: Seen, plan: Plan, num_trials: int) -> Book:
    """An empty book.

    Args:
      state: shapes [width, ...] of a stretch's state.
      seen: shapes [width, ...] of what a stretch reports.
      plan: of the run.
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

    return Book(
        blank(state),
        blank(seen.params),
        rows(_curves(seen), plan.num_steps),
        rows(seen.validation, num_blocks(plan)),
        rows(seen.last),
        np.zeros(num_trials, np.int64),
        np.zeros(num_trials, np.int64),
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
    stop = min(start + count * plan.block_steps, plan.num_steps)

    def put(old: np.ndarray, new: np.ndarray) -> None:
        old[group] = new

    jax.tree.map(put, (book.state, book.params), (state, seen.params))
    jax.tree.map(put, book.last, seen.last)
    for name, values in _curves(seen).items():
        flat = values.reshape(len(group), -1)[:, : stop - start]
        book.trace[name][group, start:stop] = flat
    for name, values in seen.validation.items():
        book.validation[name][group, first : first + count] = values[:, :count]
    is_bad = ~np.isfinite(book.trace["loss"][group, start:stop])
    step = np.where(is_bad.any(axis=1), start + is_bad.argmax(axis=1) + 1, 0)
    book.diverged_step[group] = step


def entries(
    plan: Plan, book: Book, rows: np.ndarray, stretch: tuple[int, int]
) -> dict[str, np.ndarray]:
    """What a stretch wrote of some trials, to be kept: [rows, ...] each."""
    first, count = stretch
    start = first * plan.block_steps
    stop = min(start + count * plan.block_steps, plan.num_steps)
    kept = {f"trace/{name}": v[rows, start:stop] for name, v in book.trace.items()}
    for name, values in book.validation.items():
        kept[f"validation/{name}"] = values[rows, first : first + count]
    for split, means in book.last.items():
        for name, values in means.items():
            kept[f"last/{split}/{name}"] = values[rows]
    return kept | {"rows": rows, "diverged_step": book.diverged_step[rows]}


def enter_entries(
    plan: Plan, book: Book, stretch: tuple[int, int], kept: dict[str, np.ndarray]
) -> None:
    """Writes what `entries` gave back into a book."""
    first, count = stretch
    start = first * plan.block_steps
    stop = min(start + count * plan.block_steps, plan.num_steps)
    rows = kept["rows"]
    for path, values in kept.items():
        part, *names = path.split("/")
        if part == "trace":
            book.trace[names[0]][rows, start:stop] = values
        elif part == "validation":
            book.validation[names[0]][rows, first : first + count] = values
        elif part == "last":
            book.last[names[0]][names[1]][rows] = values
    book.diverged_step[rows] = kept["diverged_step"]


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
    taken = np.minimum(
        np.arange(1, num_blocks(plan) + 1) * plan.block_steps, plan.num_steps
    )
    is_due = (taken % plan.eval_every == 0) | (taken == plan.num_steps)
    for row, step in enumerate(diverged_step):
        if step:
            _cut(book, row, int(step), taken)
    count = np.arange(1, plan.num_steps + 1, dtype=np.int32)
    trace = {name: Series(count, rows) for name, rows in book.trace.items()}
    for name, rows in book.validation.items():
        due = taken[is_due].astype(np.int32)
        trace[f"validation_{name}"] = Series(due, rows[:, is_due])
    return Trials(
        hparams,
        seeds,
        params,
        trace,
        book.last,
        diverged_step,
        book.stopped_step,
        _num_gradients(plan, book, diverged_step),
        *times,
    )


def _cut(book: Book, row: int, step: int, taken: np.ndarray) -> None:
    for rows in book.trace.values():
        rows[row, step:] = np.nan
    for rows in book.validation.values():
        rows[row, taken >= step] = np.nan
    for means in book.last.values():
        for rows in means.values():
            rows[row] = np.nan


def _curves(seen: Seen) -> dict[str, Any]:
    info = seen.infos
    return {"loss": info.loss, "learning_rate": info.learning_rate, **info.aux}


def _num_gradients(plan: Plan, book: Book, diverged_step: np.ndarray) -> np.ndarray:
    """Gradients spent, up to the end or to the step of divergence: i64[trials]."""
    if "num_gradients" in book.trace:
        return np.nansum(book.trace["num_gradients"], axis=1).astype(np.int64)
    stopped = np.where(book.stopped_step > 0, book.stopped_step, plan.num_steps)
    num_steps = np.where(diverged_step > 0, diverged_step, stopped)
    return optimizers.num_gradients(plan.optimizer) * num_steps
