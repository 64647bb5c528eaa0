"""The record of a lesson: its settings, its curves, its pictures and its summary.

plan.json     the settings, versions and device
trace.npz     "<series>" [trials, points] and "<series>.step" [points]
picture.png   and animation.gif
summary.json  the result; written after the curves, so it marks a complete record
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes, write_json, write_npz
from gradjax.records import inspection, journal, lock, opening
from gradjax.records.inspection import LESSON
from gradjax.records.plan import read_plan, write_plan
from gradjax.types import LessonResult

PICTURES = ("picture.png", "animation.gif")


def begin(folder: Path, plan: dict[str, Any], overwrite: bool) -> bool:
    """Claims a folder for a lesson and writes its plan.

    Args:
      folder: from `folder.checked_path`, or the default one, whose parents are made.
      plan: its "settings" and the "sources" of its "environment" are compared with
        those of a lesson in the folder.
      overwrite: replace a lesson in the folder.

    Returns:
      Whether the folder holds the same lesson completely; then nothing was written.

    Raises:
        Refusal: the folder holds something else, or cannot be written.
    """
    wanted = journal.plain(plan, "the plan")
    with named_disk_errors(folder):
        if not inspection.is_empty(folder) and not overwrite:
            _check_same(folder, _deciding(wanted))
            if (folder / "summary.json").is_file():
                return True
        folder.mkdir(parents=True, exist_ok=True)
        _erase(folder)
        write_plan(folder, wanted)
    return False


def save(folder: Path, found: LessonResult, summary: dict[str, Any]) -> None:
    """Writes the curves and then the summary.

    Raises:
        Refusal: the disk is full or the folder cannot be written; then summary.json is
            missing, so the lesson counts as unfinished.
    """
    arrays = {}
    for name, series in found.trace.items():
        arrays[name] = np.atleast_2d(series.values)
        arrays[f"{name}.step"] = np.asarray(series.steps)
    with named_disk_errors(folder):
        write_npz(folder / "trace.npz", arrays)
        write_json(folder / "summary.json", summary)


def save_pictures(folder: Path, found: LessonResult) -> None:
    """Draws and writes the pictures; passes on what drawing raises.

    Raises:
        Refusal: the disk is full or the folder cannot be written.
    """
    drawn = {name: draw() for name, draw in found.pictures.items()}
    with named_disk_errors(folder):
        for name, content in drawn.items():
            write_bytes(folder / name, content)


def _erase(folder: Path) -> None:
    """Removes the earlier record; a run or a sweep only if no process writes it."""
    if (folder / inspection.JOURNAL).exists():
        held = lock.acquire(folder)
        try:
            opening.erase(folder)
        finally:
            lock.release(held)
    for name in reversed(LESSON):  # the summary is removed first
        (folder / name).unlink(missing_ok=True)


def _check_same(folder: Path, wanted: dict[str, Any]) -> None:
    """Refuses a folder with another lesson or with other settings."""
    there = _deciding(read_plan(folder))
    differing = [
        f"{name} {json.dumps(there.get(name))} there, {json.dumps(wanted.get(name))}"
        " asked"
        for name in {**there, **wanted}
        if there.get(name) != wanted.get(name)
    ]
    if differing:
        raise Refusal(
            f"{folder} holds another lesson ({'; '.join(differing)}); --overwrite"
            " replaces it, another --workdir leaves it"
        )


def _deciding(plan: dict[str, Any]) -> dict[str, Any]:
    """Returns what decides a lesson: its settings, and the digests of its sources."""
    sources = plan.get("environment", {}).get("sources", {})
    return {**plan.get("settings", {}), **sources}
