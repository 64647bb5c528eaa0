"""Opens a run or a sweep as two pandas frames: a row per trial, a row per point.

It may be a folder, or the results of `gradjax.run`, `gradjax.sweep` and `gradjax.tune`
in memory.
"""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.errors import Refusal
from gradjax.files import read_npz
from gradjax.records import in_memory, opening, reading
from gradjax.types import Result, Trials, Tuned

Columns = dict[str, list[Any]]


class Frames(NamedTuple):
    """The trials of one folder and their curves.

    Attributes:
      trials: a DataFrame with a row per trial.
      curves: a DataFrame with the columns trial, name, step and value.
    """

    trials: Any
    curves: Any


def frames(found: str | Path | Trials | Result | Tuned) -> Frames:
    """Opens the results of a run or a sweep as pandas frames.

    Nothing is changed. The trials of a folder may be running at the same time.

    Args:
      found: the folder of a run or a sweep, finished or not, or of a finished lesson;
        or what `gradjax.tune` has found, whose frames are those of its folder; or the
        Result of `gradjax.run`, or the Trials of `gradjax.sweep`. The frames of these
        two have the same columns: `trial` is the number of the row, `round` is "run" or
        "search", and `group`, `optimizer` and `schedule`, which they do not hold, are
        "".

    Returns:
      `trials`: `trial` (its id), `round` (run, search or fresh), `group` (the compiled
      program), `seed`, `optimizer`, `schedule`, every hyperparameter, `status`
      (finished, diverged, stopped early by patience, stopped by halving, set aside,
      unfinished), `steps` taken, `diverged_step` (0: never), `kept_step` (steps taken
      when the kept parameters were reached), `num_gradients`, `<split>_<metric>` of the
      kept parameters (NaN where it was not measured, as `train_` in a sweep),
      `environment` (0: that of the plan; k: the k-th environment that was accepted
      later). Where `--accept_mixed_bits` let workers with other versions or devices
      train, `worker_environment` is 0 for a trial of a worker as the plan says, and k
      for one of the k-th other environment that the journal lists. A lesson has no
      trials.
      `curves`: the stored points of every curve; a point of a training curve is the
      mean over the steps since the previous point.

    Raises:
        Refusal: no such folder, an older format, a damaged file, or no pandas.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise Refusal("frames need pandas: pip install 'gradjax[pandas]'") from error
    if isinstance(found, Tuned):
        return _of_parts(pandas, found.rows, found.curves)
    if isinstance(found, Trials | Result):
        return _of_parts(pandas, in_memory.rows(found), in_memory.curves(found))
    folder = _folder(found)
    if opening.kind_of(folder) == "lesson":
        curves = _columns()
        _add_lesson(curves, folder)
        return Frames(pandas.DataFrame(), pandas.DataFrame(_flat(curves)))
    store = opening.open_to_read(folder, say=warnings.warn)
    rows = list(reading.rows(store).values())
    return _of_parts(pandas, rows, reading.curves(store))


def _folder(found: Any) -> Path:
    if isinstance(found, str | os.PathLike):
        return Path(found)
    raise Refusal(
        f"frames of {type(found).__name__}: expected a folder, the Result of a run, the"
        " Trials of a sweep, or what tune has found"
    )


def _add_lesson(curves: Columns, folder: Path) -> None:
    arrays = read_npz(folder / "trace.npz")
    for name, values in arrays.items():
        if name.endswith(".step"):
            continue
        steps = np.broadcast_to(arrays[f"{name}.step"], values.shape)
        trial = np.broadcast_to(np.arange(len(values))[:, None], values.shape)
        is_seen = ~np.isnan(values)
        _add(curves, trial[is_seen], name, steps[is_seen], values[is_seen])


def _columns() -> Columns:
    return {"trial": [], "name": [], "step": [], "value": []}


def _of_parts(
    pandas: Any, rows: list[dict[str, Any]], parts: Iterable[tuple[Any, ...]]
) -> Frames:
    curves = _columns()
    for part in parts:
        _add(curves, *part)
    return Frames(pandas.DataFrame(rows), pandas.DataFrame(_flat(curves)))


def _add(curves: Columns, trial: Any, name: str, step: Any, value: Any) -> None:
    parts = (trial, np.full(len(trial), name, object), step, value)
    for column, part in zip(curves.values(), parts, strict=True):
        column.append(part)


def _flat(curves: Columns) -> dict[str, Any]:
    return {
        name: np.concatenate(parts) if parts else np.empty(0)
        for name, parts in curves.items()
    }
