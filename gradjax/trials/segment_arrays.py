"""The results of a segment of some trials as named arrays, for the store."""

import numpy as np

from gradjax.training.traces import window_ends
from gradjax.trials.results import (
    COUNTS,
    FLAGS,
    BlockRange,
    Results,
    measured_steps,
    points_of,
    slots_of,
    steps_taken,
)


def to_arrays(
    results: Results, rows: np.ndarray, blocks: BlockRange
) -> dict[str, np.ndarray]:
    """Returns the results of a segment of some trials, as named arrays for the store.

    Returns:
      `trace/<name>` f32[rows, points], `validation/<name>` f32[rows, blocks] (NaN where
      none was due), `final/<split>/<metric>` f32[rows] (NaN before the end),
      `measured/<k>/<curve>` f32[rows, slots] of diagnostic k; the steps taken at each
      point: `trace_step` i64[points], `validation_step` i64[blocks], and
      `measured_step/<k>` i64[slots];
      `rows`, `num_gradients`, `diverged_step`, `early_step` and `kept_step` i64[rows];
      `is_set_aside` and `has_learned` bool[rows].
    """
    first, count = blocks
    points = points_of(results, blocks)
    arrays = {f"trace/{name}": v[rows, points] for name, v in results.trace.items()}
    for name, values in results.validation.items():
        arrays[f"validation/{name}"] = values[rows, first : first + count]
    for split, means in results.final.items():
        for name, values in means.items():
            arrays[f"final/{split}/{name}"] = values[rows]
    for k, curves in enumerate(results.measured):
        slots = slots_of(results, k, blocks)
        for name, values in curves.items():
            arrays[f"measured/{k}/{name}"] = values[rows, slots]
        arrays[f"measured_step/{k}"] = measured_steps(results.plan, k)[slots]
    arrays["trace_step"] = window_ends(results.plan, results.every, first, count)
    arrays["validation_step"] = steps_taken(results.plan)[first : first + count]
    for name in (*COUNTS, *FLAGS):
        arrays[name] = getattr(results, name)[rows]
    return arrays | {"rows": rows}


def from_arrays(
    results: Results, blocks: BlockRange, arrays: dict[str, np.ndarray]
) -> None:
    """Records the arrays that `to_arrays` returned."""
    first, count = blocks
    rows = arrays["rows"]
    for path, values in arrays.items():
        part, *names = path.split("/", 2)
        if part == "trace":
            name = path.removeprefix("trace/")
            results.trace[name][rows, points_of(results, blocks)] = values
        elif part == "validation":
            name = path.removeprefix("validation/")
            results.validation[name][rows, first : first + count] = values
        elif part == "final":
            results.final[names[0]][names[1]][rows] = values
        elif part == "measured":
            k = int(names[0])
            steps = arrays[f"measured_step/{k}"]
            slots = np.searchsorted(measured_steps(results.plan, k), steps)
            results.measured[k][names[1]][rows[:, None], slots] = values
    for name in (*COUNTS, *FLAGS):
        # A segment of an older version does not say whether a trial has learned.
        getattr(results, name)[rows] = arrays.get(name, True)
