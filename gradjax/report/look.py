"""One look at a record while it is written: how far it is, and the latest curves."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.records import inspection, opening, reading
from gradjax.records import store as stored
from gradjax.report import status
from gradjax.types import Series

_FIRST = ("loss", "validation_loss")
_ROUNDING = 1e-5  # of float32, relative; smaller differences are not drawn


class Look(NamedTuple):
    """What a record holds at one moment.

    Attributes:
      folder: as it was given.
      state: "running", "finished", or "stopped" (no process writes it).
      share: of the steps of the listed trials that is done, in [0, 1].
      rows: (name, value) of each line of its status.
      curves: name -> Series of one trial, those of single layers last.
      trial: the words for this trial; "" while there is none.
    """

    folder: str
    state: str
    share: float
    rows: list[tuple[str, str]]
    curves: dict[str, Series]
    trial: str = ""


def look(folder: Path) -> Look | None:
    """Reads a record, which another process may be writing; changes nothing.

    The curves are those of the best trial so far, or of the first trial that has any.

    Args:
      folder: of a run, a sweep or a lesson.

    Returns:
      None if the folder does not exist or is empty.

    Raises:
        Refusal: the folder holds something else, or its plan is damaged.
    """
    if inspection.is_empty(folder):
        return None
    is_trials = opening.kind_of(folder) == "trials"
    problems: list[str] = []
    found = stored.status(folder, say=problems.append)
    state = _state(folder, found["owner"])
    rows = status.rows_of_folder(found)
    if not is_trials:
        return Look(str(folder), state, float(state == "finished"), rows, {})
    store = opening.open_to_read(folder, say=problems.append)
    trials = reading.rows(store)
    best = status.best_of(store, trials)
    rows = [*status.rows_of_trials(store, trials, best), *rows]
    if len(trials) == 1:
        rows.insert(0, ("steps", _steps(store, *trials.values())))
    if problems and state != "running":  # while it is written, files come and go
        rows.append(("damaged", problems[0]))
    chosen = best.trial if best else next(iter(trials), None)
    curves = reading.trace_of(store, chosen) if chosen else {}
    words = ""
    if chosen and curves:
        which = "the best trial so far: " if best and len(trials) > 1 else ""
        words = which + status.setting_of(store, chosen, trials[chosen])
    share = status.share_of(store, trials)
    return Look(str(folder), state, share, rows, _sorted(curves), words)


def resampled(series: Series, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns at most `count` points of a curve: means over equal parts of its points.

    Values that are not finite are left out of the means; a part without finite values
    is NaN.

    Args:
      series: steps i64[points], values f[points].
      count: at least 1.

    Returns:
      steps f64[parts] and values f64[parts].
    """
    steps, values = (np.asarray(one, np.float64) for one in series)
    size = len(values)
    parts = np.arange(size) * min(count, size) // max(size, 1)
    num_parts = min(count, size)
    is_known = np.isfinite(values)
    each = np.bincount(parts, minlength=num_parts)
    known = np.bincount(parts, is_known, num_parts)
    total = np.bincount(parts, np.where(is_known, values, 0.0), num_parts)
    means = np.where(known > 0, total / np.maximum(known, 1), np.nan)
    return np.bincount(parts, steps, num_parts) / np.maximum(each, 1), means


def heights(values: np.ndarray) -> np.ndarray:
    """Returns the heights of a small picture of values, in [0, 1], f64[points].

    The scale is logarithmic where all values are positive and the largest is twenty
    times the smallest, as in a dashboard. Values that are equal to rounding have the
    height 0.5.

    Args:
      values: f64[points]; NaN stays NaN.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return np.full(len(values), np.nan)
    low, high = float(known.min()), float(known.max())
    if low > 0 and high > 20 * low:
        values, low, high = np.log(values), float(np.log(low)), float(np.log(high))
    if high - low <= _ROUNDING * max(abs(low), abs(high)):
        return np.where(np.isfinite(values), 0.5, np.nan)
    # Halves first: the difference of two large numbers may not be finite.
    return (values / 2 - low / 2) / (high / 2 - low / 2)


def _steps(store: Any, trial: dict[str, Any]) -> str:
    records = reading.segment_records(store).values()
    total = max((one["num_steps"] for one in records), default=0)
    return f"{trial.get('steps') or 0:,}" + (f" of {total:,}" if total else "")


def _state(folder: Path, owner: dict[str, Any] | None) -> str:
    if owner is not None:
        return "running"
    return "finished" if (folder / "summary.json").is_file() else "stopped"


def _sorted(curves: dict[str, Series]) -> dict[str, Series]:
    """Sorts curves: losses, metrics, the rate, diagnostics, those of single layers.

    A curve without points, such as that of the first evaluation, is left out.
    """
    seen = [(name, series) for name, series in curves.items() if len(series.steps)]
    return dict(sorted(seen, key=lambda pair: _place(pair[0])))


def _place(name: str) -> tuple[int, int]:
    if name in _FIRST:
        return 0, _FIRST.index(name)
    if reading.is_of_layer(name):
        return 4, 0
    return (3 if "." in name else 2 if name == "learning_rate" else 1), 0
