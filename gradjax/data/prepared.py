"""Finds the TFDS data sets that are prepared on this machine: names, versions, folders.

The lookup of TFDS itself tries the network for minutes if nothing is prepared. This one
reads only the names of folders and takes milliseconds.
"""

import difflib
import itertools
import json
import os
import re
from pathlib import Path

from gradjax.errors import Refusal

BUNDLED = ("digits",)
_MAX_NAME = 120
_MAX_FOLDERS = 300  # read per folder, because data_dir may be any large folder
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"  # no leading dot: a name never leaves data_dir
_NAME = re.compile(rf"({_PART}(?:/{_PART})?)(?::(\d+\.\d+\.\d+))?")
_VERSION = re.compile(r"\d+\.\d+\.\d+", re.ASCII)
_INFO = "dataset_info.json"


def default_data_dir() -> Path:
    """Returns TFDS's folder: `$TFDS_DATA_DIR` or `~/tensorflow_datasets`."""
    chosen = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(os.path.abspath(os.path.expanduser(chosen)))


def parse(name: str) -> tuple[str, str | None]:
    """Splits `name`, `name/config` or either with `:version` into (name, version).

    Raises:
      Refusal: the text has another form. A name is therefore always a path in data_dir.
    """
    match = _NAME.fullmatch(name) if len(name) <= _MAX_NAME else None
    if match is None:
        shown = repr(name if len(name) <= 40 else name[:40] + "...")
        expected = "expected NAME, NAME/CONFIG or NAME:1.2.3 in letters, digits, _.+-"
        raise Refusal(f"data set {shown}: {expected}, at most {_MAX_NAME} characters")
    return match[1], match[2]


def find(name: str, data_dir: str | Path | None = None) -> Path | None:
    """Finds the folder of a prepared data set, by default of its newest version.

    Args:
      name: `mnist`, `glue/sst2`, `mnist:3.0.1`.
      data_dir: TFDS's folder; None or empty means `default_data_dir()`.

    Returns:
      The folder that contains `dataset_info.json`, or None if there is none.

    Raises:
      Refusal: the name is malformed, or data_dir is not a folder.
    """
    base, version = parse(name)
    root = _root(data_dir)
    if version is None:
        versions = _versions(root / base)
        return root / base / versions[-1] if versions else None
    folder = root / base / version
    return folder if os.path.isfile(folder / _INFO) else None


def check_format(folder: Path) -> None:
    """Refuses a prepared folder whose files are not ArrayRecord.

    Raises:
      Refusal: the format is another one (the default of TFDS is tfrecord), or the
        description cannot be read.
    """
    path = folder / _INFO
    try:
        info = json.loads(path.read_bytes())
        name, found = info["name"], info.get("fileFormat", "tfrecord")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refusal(f"{path}: damaged ({error!r}); expected TFDS's JSON") from error
    if found != "array_record":
        how = f"move the folder away and run `python -m scripts.prepare_data {name}`"
        raise Refusal(f"{path}: prepared as {found}; expected array_record: {how}")


def not_prepared(
    name: str, data_dir: str | Path | None = None, instead: str = "a file of your own"
) -> Refusal:
    """Returns the Refusal for a data set that is not prepared.

    Its line names the missing file, the command that prepares the data set, and
    `instead`, an alternative that needs no download.
    """
    base, version = parse(name)
    root = _root(data_dir)
    looked = f"no {root / base / (version or '*') / _INFO}"
    how = "make data" if name == "mnist" else f"python -m scripts.prepare_data {name}"
    return Refusal(
        f"data set {name!r} is not prepared: {looked}{_hint(root, base)}; prepare "
        f"{name} with `{how}`, or use {instead}, which runs without a download"
    )


def _hint(root: Path, base: str) -> str:
    if versions := _versions(root / base):
        return f" (prepared versions: {', '.join(versions)})"
    if os.path.isfile(root / base / _INFO):
        return f" (did you mean {base.replace('/', ':')!r}?)"
    found = names(root)
    if configs := [name for name in found if name.startswith(f"{base}/")]:
        return f" (prepared configs: {', '.join(configs[:5])})"
    candidates = {*BUNDLED, "mnist", *found} - {base}
    nearest = difflib.get_close_matches(base, sorted(candidates), n=1)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""


def names(data_dir: Path) -> list[str]:
    """Lists the data sets prepared in a folder, as `name` or `name/config`, sorted."""
    found = []
    for folder in _folders(data_dir):
        found += [folder.name] if _versions(folder) else []
        configs = (child for child in _folders(folder) if _versions(child))
        found += [f"{folder.name}/{config.name}" for config in configs]
    return sorted(found)


def _root(data_dir: str | Path | None) -> Path:
    if not data_dir:
        root = default_data_dir()
        if not os.path.lexists(root):
            return root  # no data set has been prepared yet
    else:
        root = Path(os.path.abspath(os.path.expanduser(data_dir)))
    if not str(root).isprintable():  # because a refusal must stay one line
        raise Refusal(f"data_dir {str(root)[:200]!r} holds unprintable characters")
    if not os.path.isdir(root):
        what = "is not a folder" if os.path.lexists(root) else "does not exist"
        raise Refusal(f"data_dir {str(root)[:200]} {what}; expected TFDS's folder")
    return root


def _versions(folder: Path) -> list[str]:
    children = (child.name for child in _folders(folder))
    versions = [
        name
        for name in children
        if _VERSION.fullmatch(name) and os.path.isfile(folder / name / _INFO)
    ]
    return sorted(versions, key=lambda name: tuple(map(int, name.split("."))))


def _folders(folder: Path) -> list[Path]:
    try:
        children = itertools.islice(os.scandir(folder), _MAX_FOLDERS)
        return [Path(child.path) for child in children if child.is_dir()]
    except OSError:  # the folder is absent, a file or not readable
        return []
