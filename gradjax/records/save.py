"""From results in memory to files on disk: the summary is written last."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from gradjax.files import named_disk_errors, write_bytes, write_json, write_npz
from gradjax.types import LessonResult, Params, Result, Series

MAX_POINTS = 1_000


def save(
    folder: Path,
    results: list[Result],
    summary: dict[str, Any],
    picture: bytes | None,
    trace_every: int = 0,
    files: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Writes everything but config.json, which `begin` wrote.

    Args:
      folder: of the run.
      results: one a trial.
      summary: what summary.json will hold.
      picture: the PNG, if one was drawn.
      trace_every: steps a point of the curves; 0 keeps at most 1,000 points.
      files: of the problem, such as a tokenizer: names of `folder.NAMES`.

    Raises:
        Refusal: the disk is full or the folder cannot be written; summary.json is then
            absent, so the run counts as unfinished.
    """
    with named_disk_errors(folder):
        write_npz(folder / "trace.npz", stacked_trace(results, trace_every))
        write_npz(folder / "params.npz", stacked_params([r.params for r in results]))
        if picture is not None:
            write_bytes(folder / "curves.png", picture)
        for name, content in files.items():
            write_bytes(folder / name, content)
        write_json(folder / "summary.json", summary)


def save_study(
    folder: Path, finding: LessonResult, summary: dict[str, Any], with_pictures: bool
) -> None:
    """As `save`, of a study: every number it found, and its pictures.

    Raises:
        Refusal: as `save` does.
    """
    arrays = {}
    for name, series in finding.trace.items():
        arrays[name] = np.atleast_2d(series.values)
        arrays[f"{name}.step"] = np.asarray(series.steps)
    with named_disk_errors(folder):
        write_npz(folder / "trace.npz", arrays)
        for name, draw in finding.pictures.items() if with_pictures else ():
            write_bytes(folder / name, draw())
        write_json(folder / "summary.json", summary)


def thinned(series: Series, every: int = 0) -> Series:
    """Means over windows of `every` points, the last window being shorter.

    With every = 0 the shortest windows that leave at most 1,000 points. A window stands
    at its last step.
    """
    count = len(series.values)
    every = every or -(-count // MAX_POINTS)
    if every == 1:
        return series
    starts = np.arange(0, count, every)
    ends = np.minimum(starts + every, count)
    sums = np.add.reduceat(np.asarray(series.values, np.float64), starts)
    means = (sums / (ends - starts)).astype(np.float32)
    return Series(np.asarray(series.steps)[ends - 1], means)


def stacked_trace(results: list[Result], every: int) -> dict[str, np.ndarray]:
    """`<series>` f32[trials, points] and `<series>.step` i32[points].

    A trial that diverged early ends in NaN.
    """
    arrays = {}
    for name in results[0].trace:
        is_training = not name.startswith("validation_")
        trials = [
            thinned(r.trace[name], every) if is_training else r.trace[name]
            for r in results
        ]
        longest = max(trials, key=lambda series: len(series.steps))
        rows = np.full((len(trials), len(longest.steps)), np.nan, np.float32)
        for row, series in zip(rows, trials, strict=True):
            row[: len(series.values)] = series.values
        arrays[name] = rows
        arrays[f"{name}.step"] = np.asarray(longest.steps, np.int32)
    return arrays


def stacked_params(params: list[Params]) -> dict[str, np.ndarray]:
    """`path/to/leaf` -> [trials, ...]."""
    leaves = [jax.tree.leaves_with_path(tree) for tree in params]
    return {
        path_name(path): np.stack([np.asarray(tree[k][1]) for tree in leaves])
        for k, (path, _) in enumerate(leaves[0])
    }


def path_name(path: Any) -> str:
    """A leaf's place in its tree: "Dense_0/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/") or "params"
