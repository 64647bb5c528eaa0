"""The journal of a data set that is written, with which an interrupted command goes on.

A data set is written in a hidden folder beside its place. The journal there has what
was asked for, and the shards that are complete with their checksums.
"""

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gradjax.errors import Refusal
from gradjax.files import write_json

VERSION = "1.0.0"
JOURNAL, _LOCK = "make_stream.json", ".lock"


class Place(NamedTuple):
    """Where a data set is written."""

    data_dir: Path
    name: str

    @property
    def folder(self) -> Path:
        """Returns the folder of the complete data set."""
        return self.data_dir / self.name / VERSION

    @property
    def unfinished(self) -> Path:
        """Returns the folder in which it is written."""
        return self.data_dir / self.name / f".{VERSION}.unfinished"

    @property
    def replaced(self) -> Path:
        """Returns the folder of an older data set while it is replaced."""
        return self.data_dir / self.name / f".{VERSION}.replaced"


class Shard(NamedTuple):
    """A complete shard."""

    split: str
    num_records: int
    num_bytes: int  # of the records
    sha256: str  # of the file


def working_name(split: str, number: int) -> str:
    """Returns the name of a shard while the number of shards is not known."""
    return f"{split}-{number:05}"


def final_name(name: str, split: str, number: int, total: int | str) -> str:
    """Returns the name of a shard as TFDS expects it; a total of "*" is a pattern."""
    shown = total if isinstance(total, str) else f"{total:05}"
    return f"{name}-{split}.array_record-{number:05}-of-{shown}"


def digest(path: Path) -> str:
    """Returns the sha256 of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(folder: Path) -> tuple[dict[str, Any], list[Shard]] | None:
    """Reads a journal: what was asked for, and the shards; None without a journal."""
    try:
        content = json.loads((folder / JOURNAL).read_bytes())
        return content["asked"], [Shard(**one) for one in content["shards"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None


def enter(folder: Path, asked: dict[str, Any], shards: list[Shard]) -> None:
    """Writes the journal, atomically and durably."""
    content = {"asked": asked, "shards": [one._asdict() for one in shards]}
    write_json(folder / JOURNAL, content)


def resumed(place: Place, asked: dict[str, Any], overwrite: bool) -> list[Shard]:
    """Returns the shards of an earlier command that are complete and undamaged.

    What else is in the folder is deleted. Of a shard that is missing or damaged on, the
    data set is written again.

    Args:
      place: of the data set.
      asked: what decides its bytes.
      overwrite: begin anew where something else was asked for.

    Raises:
      Refusal: something else was asked for, and it may not be overwritten.
    """
    folder = place.unfinished
    before, earlier = read(folder) or (asked, [])
    if before != asked:
        if not overwrite:
            changed = [name for name in asked if before.get(name) != asked[name]]
            raise Refusal(
                f"{folder} was begun with other data or flags"
                f" ({', '.join(changed) or 'fewer'}); --overwrite begins anew"
            )
        earlier = []
    done: list[Shard] = []
    for shard, path in zip(earlier, _paths(place, earlier), strict=True):
        if not path.is_file() or digest(path) != shard.sha256:
            break
        done.append(shard)
    known = {_LOCK, *(path.name for path in _paths(place, done))}
    for other in folder.iterdir():
        if other.name not in known:
            other.unlink()
    enter(folder, asked, done)
    return done


def _paths(place: Place, shards: list[Shard]) -> Iterator[Path]:
    """Yields the files of shards, under the names that they have while they wait."""
    for split, own in itertools.groupby(shards, lambda one: one.split):
        for number, _ in enumerate(own):
            path = place.unfinished / working_name(split, number)
            pattern = final_name(place.name, split, number, "*")
            for renamed in place.unfinished.glob(pattern):
                os.replace(renamed, path)
            yield path


@contextlib.contextmanager
def locked(place: Place) -> Iterator[None]:
    """Lets one process at a time write in the folder.

    Raises:
      Refusal: another process writes in it.
    """
    path = place.unfinished / _LOCK
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refusal(f"{place.unfinished}: another process writes in it") from (
                error
            )
        yield


def publish(place: Place) -> None:
    """Renames the folder to its place, and deletes what it replaces."""
    (place.unfinished / _LOCK).unlink()
    if place.folder.exists():
        shutil.rmtree(place.replaced, ignore_errors=True)
        os.replace(place.folder, place.replaced)
    os.replace(place.unfinished, place.folder)
    shutil.rmtree(place.replaced, ignore_errors=True)
