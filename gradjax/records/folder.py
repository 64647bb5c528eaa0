"""The path of a record: the default path, and checks of a given path."""

import os
import re
from pathlib import Path
from typing import Any

from gradjax.errors import Refusal

_MAX_NAME_BYTES = 255  # of one path component, on every common file system


def as_folder(workdir: Any) -> Path:
    """Returns a folder that is given as text or as a path.

    Raises:
        Refusal: it is something else, or empty.
    """
    if isinstance(workdir, str | os.PathLike) and str(workdir):
        return Path(workdir)
    raise Refusal(f"{workdir!r} is no folder: expected text or a Path")


def default_path(experiment: str, digest: str, words: list[str]) -> Path:
    """Returns `runs/<experiment>/<words>-<digest>`.

    Args:
      experiment: the name of the experiment.
      digest: a hex digest of everything that determines the results.
      words: the readable parts of the name.
    """
    readable = [re.sub(r"[^A-Za-z0-9.]+", "-", word)[:40].strip("-") for word in words]
    return Path("runs") / experiment / "-".join([*filter(None, readable), digest[:6]])


def checked_path(workdir: str) -> Path:
    """Returns the absolute path of a folder that exists or can be made.

    Raises:
        Refusal: control characters, a name that is too long, a missing parent, or a
            path that leads through a file.
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
