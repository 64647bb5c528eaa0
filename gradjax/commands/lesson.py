"""Runs a lesson: an experiment that trains many times to show one thing.

It ends with a sentence, a picture and the numbers behind them, which are stored. The
same command again shows the stored record, and draws pictures that it lacks.
"""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradjax import records
from gradjax.commands.drawing import no_picture
from gradjax.commands.train import command_line, spoken
from gradjax.errors import Refusal
from gradjax.records import lesson as stored
from gradjax.records import sources
from gradjax.report import terminal
from gradjax.sweeps import points
from gradjax.types import LessonResult, Options


def run(
    settings: Any,
    options: Options,
    find: Callable[[], LessonResult],
    data: dict[str, Any] | None = None,
    words: list[str] | None = None,
) -> dict[str, Any]:
    """Computes a lesson, stores it and shows it.

    Args:
      settings: a NamedTuple with the field `experiment`, already checked.
      options: the folder of the record, and whether it is replaced.
      find: computes the lesson.
      data: a description of the data for the record.
      words: the readable parts of the folder's name; None: the settings that differ
        from their defaults.

    Returns:
      The summary, as in summary.json.

    Raises:
        Refusal: the folder holds something else, or the disk is full.
    """
    if options.workdir is not None:
        folder = records.checked_path(options.workdir)
    else:
        name, digest = settings.experiment, points.digest(settings._asdict())
        words = _words(settings) if words is None else words
        folder = Path.cwd() / records.default_path(name, digest, words)
    plan = {
        "kind": "lesson",
        "settings": settings._asdict(),
        "data": data,
        "environment": records.environment(
            {type(settings).__module__} | sources.named_modules(settings._asdict())
        ),
    }
    if stored.begin(folder, plan, options.overwrite):
        summary = records.summary_of(folder)
        if options.plot and _missing(folder, summary):
            terminal.say(f"{spoken(folder)} has no picture: computing it again to draw")
            _draw(folder, find())
        _show(summary, folder, "is finished already; --overwrite computes it again")
        return summary
    found = find()
    summary = {
        "status": "finished",
        "sentence": found.sentence,
        "command": command_line(settings.experiment),
        **found.figures,
        "rows": found.rows,
        "pictures": list(found.pictures),
    }
    stored.save(folder, found, summary)
    if options.plot:
        _draw(folder, found)
    _show(summary, folder, "keeps this lesson")
    return summary


def _missing(folder: Path, summary: dict[str, Any]) -> list[str]:
    """Returns the pictures of a lesson that its folder does not have.

    They could not be drawn, or were not asked for.
    """
    names = summary.get("pictures", [])
    return [name for name in names if not (folder / name).is_file()]


def _draw(folder: Path, found: LessonResult) -> None:
    """Draws the pictures; one that cannot be drawn is one line."""
    try:
        stored.save_pictures(folder, found)
    except Refusal:
        raise
    except Exception as error:
        terminal.say(f"{no_picture(error)}, and the same command draws it later")


def _words(settings: Any) -> list[str]:
    """Returns the settings that differ from their defaults, for the folder's name."""
    defaults = settings._field_defaults
    return [
        f"{name}-{value}"
        for name, value in settings._asdict().items()
        if name in defaults and value != defaults[name]
    ] or ["default"]


def _show(summary: dict[str, Any], folder: Path, what: str) -> None:
    terminal.table("found:", [(name, value) for name, value in summary["rows"]])
    terminal.say(textwrap.fill(summary["sentence"], 88))
    pictures = [name for name in stored.PICTURES if (folder / name).is_file()]
    shown = f" ({', '.join(pictures)})" if pictures else ""
    terminal.say(f"{spoken(folder)} {what}{shown}")
