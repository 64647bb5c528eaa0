"""A study: an experiment that trains many times, to show one thing.

It ends in a sentence, a picture and the numbers behind them, kept as a run's are:
the same command again shows what is there.
"""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradjax import records
from gradjax.commands import train
from gradjax.report import terminal
from gradjax.types import LessonResult, Options


def run(
    settings: Any,
    options: Options,
    find: Callable[[], LessonResult],
    config: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Finds, keeps, shows.

    Args:
      settings: a NamedTuple with the field `experiment`; all of it refused already
        where it is wrong.
      options: where to keep it.
      find: computes.
      config: what config.json says beside the settings: of the data, say.

    Returns:
      The summary, as in summary.json.

    Raises:
        Refusal: a folder of something else, or a full disk.
    """
    folder = train.chosen_folder(settings, options, *_words(settings))
    about = {
        "settings": settings._asdict(),
        "command": train.command_line(settings.experiment),
        **(config or {}),
        "environment": records.environment(),
    }
    there = records.begin(folder, settings, about, options.overwrite)
    if there is records.State.FINISHED:
        summary = records.load(folder).summary
        _show(summary, folder, "has it already; --overwrite does it again")
        return summary
    if there is records.State.UNFINISHED:
        terminal.say("an unfinished study of these settings is there: it starts again")
    finding = find()
    summary = {
        "status": "finished",
        "sentence": finding.sentence,
        **finding.figures,
        "rows": finding.rows,
    }
    records.save_study(folder, finding, summary, options.plot)
    _show(summary, folder, "keeps it")
    return summary


def _words(settings: Any) -> list[str]:
    """What differs from the defaults: what a person would look for in a name."""
    defaults = settings._field_defaults
    return [
        f"{name}-{value}"
        for name, value in settings._asdict().items()
        if name in defaults and value != defaults[name]
    ] or ["default"]


def _show(summary: dict[str, Any], folder: Path, what: str) -> None:
    rows = [(name, value) for name, value in summary["rows"]]
    terminal.table("found:", rows)
    terminal.say(textwrap.fill(summary["sentence"], 88))
    pictures = [name for name in records.PICTURES if (folder / name).is_file()]
    shown = f" ({', '.join(pictures)})" if pictures else ""
    terminal.say(f"{train.spoken(folder)} {what}{shown}")
