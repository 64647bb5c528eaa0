"""The folder of a run: which path it may have, and what may be in it already."""

import hashlib
import json
import os
import re
from enum import Enum
from pathlib import Path
from typing import Any

from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_json

PICTURES = ("curves.png", "picture.png", "animation.gif")
NAMES = (
    *("config.json", "trace.npz", "params.npz", "tokenizer.json"),
    *(*PICTURES, "summary.json"),
)
_MAX_NAME_BYTES = 255  # of one path component, on every common file system


class State(Enum):
    """What a run's folder held before."""

    NEW = "new"
    UNFINISHED = "unfinished"  # a run that was killed; it starts again
    FINISHED = "finished"  # the same run, done
    OVERWRITTEN = "overwritten"


def default_path(settings: Any, *words: str) -> Path:
    """`runs/<experiment>/<words>-<digest>`: distinct for distinct settings.

    Args:
      settings: a NamedTuple with the field `experiment`, ready for JSON.
      words: what a person should read in the name.
    """
    readable = [re.sub(r"[^A-Za-z0-9.]+", "-", word)[:40].strip("-") for word in words]
    digest = hashlib.sha256(json.dumps(settings._asdict()).encode()).hexdigest()[:6]
    name = "-".join([*filter(None, readable), digest])
    return Path("runs") / settings.experiment / name


def checked_path(workdir: str) -> Path:
    """The absolute path of a folder that can be made, or is there.

    Raises:
        Refusal: control characters, a name too long, a missing parent, or a path that
            leads through a file.
    """
    if not workdir.strip() or any(ord(c) < 32 or ord(c) == 127 for c in workdir):
        raise Refusal(f"--workdir={workdir!r}: empty, or a control character in it")
    path = Path(os.path.abspath(os.path.expanduser(workdir)))
    for part in path.parts:
        if len(os.fsencode(part)) > _MAX_NAME_BYTES:
            size = len(os.fsencode(part))
            raise Refusal(
                f"--workdir: the name {part[:20]!r}... has {size} bytes; at most"
                f" {_MAX_NAME_BYTES}"
            )
    if path.exists() and not path.is_dir():
        raise Refusal(f"--workdir={workdir}: it is a file; name a folder")
    if not path.parent.is_dir():
        raise Refusal(
            f"--workdir={workdir}: its parent {path.parent} is not a folder;"
            f" mkdir -p {path.parent}"
        )
    return path


def begin(
    folder: Path, settings: Any, config: dict[str, Any], overwrite: bool
) -> State:
    """Claims the folder for a run and writes its config.json.

    Args:
      folder: from `checked_path`, or the default one, whose parents are made.
      settings: a NamedTuple, compared with that of the run that is there, if one is.
      config: what config.json will hold.
      overwrite: start anew over a run that is there.

    Returns:
      What was there. If it is `State.FINISHED`, nothing was written.

    Raises:
        Refusal: the folder holds a run of other settings, or files of somebody else, or
            cannot be written.
    """
    with named_disk_errors(folder):
        there = _there(folder)
        if there is not None and not overwrite:
            _check_same(folder, there, settings)
            if (folder / "summary.json").is_file():
                return State.FINISHED
        folder.mkdir(parents=True, exist_ok=True)
        for name in reversed(NAMES):  # summary.json first: no half-replaced whole
            (folder / name).unlink(missing_ok=True)
        write_json(folder / "config.json", config)
    if there is None:
        return State.NEW
    return State.OVERWRITTEN if overwrite else State.UNFINISHED


def _there(folder: Path) -> dict[str, Any] | None:
    """The settings of the run in a folder; None where there is no run."""
    if not folder.exists() or not any(folder.iterdir()):
        return None
    try:
        config = json.loads((folder / "config.json").read_text())
        return dict(config["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        # Temporary files of a run killed before its first commit are ours.
        if all(entry.name.startswith(".config.json.") for entry in folder.iterdir()):
            return None
        raise Refusal(
            f"{folder} holds files but no gradjax run; name another --workdir"
        ) from error


def _check_same(folder: Path, there: dict[str, Any], settings: Any) -> None:
    wanted = json.loads(json.dumps(settings._asdict()))
    differing = [
        f"{name} {there.get(name)!r} there, {wanted.get(name)!r} asked"
        for name in {**there, **wanted}
        if there.get(name) != wanted.get(name)
    ]
    if differing:
        raise Refusal(
            f"{folder} holds a run of other settings ({'; '.join(differing)}); use"
            " --overwrite or another --workdir"
        )
