"""Writes a data set in the form of TFDS, shard by shard.

A shard is written to a temporary file, fsynced and renamed, and then entered into a
journal. The folder gets its name when everything is in it. So a reader finds the
complete data set or none, and an interrupted command goes on after the last complete
shard. The bytes of the shards are a function of the content and of the size of a shard.
"""

import contextlib
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gradjax.data import prepared, record_format, record_journal, shards, splitting
from gradjax.data.record_format import Features, SplitInfo
from gradjax.data.record_journal import VERSION, Place, Shard, working_name
from gradjax.data.splitting import SPLITS, Shares
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, sync_folder, write_bytes, write_json

SHARD_BYTES = 2**27  # of the records of a shard; `data.records` reads up to 2**29
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NO_LIMIT = 2**62  # bytes
Records = Iterator[bytes]
OnWritten = Callable[[int, int], None]  # (records, their bytes)


class Content(NamedTuple):
    """The examples that are written."""

    features: Features
    num_units: int  # what is assigned to a split as a whole, usually an example
    num_examples: int
    records: Callable[[Iterator[int], int], Records]  # (units, skip) -> the records of
    # these units, which increase, without the first `skip` records
    asked: dict[str, Any]  # JSON; it decides every byte of the records
    description: str  # a sentence


def check_name(name: str) -> None:
    """Refuses what cannot be the name of a data set that is written."""
    if not _NAME.fullmatch(name) or name in prepared.BUNDLED:
        said = name if len(name) <= 40 else f"{name[:37]}..."
        expected = "a new name in small letters, digits and _, such as my_data"
        raise Refusal(f"--name={said}: expected {expected}")


def write(
    content: Content,
    place: Place,
    shares: Shares,
    shard_bytes: int = SHARD_BYTES,
    overwrite: bool = False,
    on_written: OnWritten = lambda *_: None,
) -> dict[str, int]:
    """Writes a data set, or goes on with one that was interrupted.

    Args:
      content: the examples.
      place: the folder and the name.
      shares: of validation and test.
      shard_bytes: the largest size of the records of a shard; a larger record has a
        shard of its own.
      overwrite: replace another data set, when this one is complete.
      on_written: called for the records of an earlier command, and for each new one.

    Returns:
      split -> the number of its records.

    Raises:
      Refusal: a wrong name or share, another data set in the place, an example that
        cannot be read, or no room on the disk. In the last case the same command goes
        on; where an example cannot be read nothing is left.
    """
    check_name(place.name)
    splitting.sizes(shares, content.num_units)
    own = {"shares": shares._asdict(), "shard_bytes": shard_bytes}
    asked = content.asked | own
    with named_disk_errors(place.data_dir):
        finished = record_journal.read(place.folder)
        if finished is not None and finished[0] == asked and not overwrite:
            return _counted(finished[1])
        _check_place(place, overwrite)
        place.unfinished.mkdir(parents=True, exist_ok=True)
        with record_journal.locked(place):
            done = record_journal.resumed(place, asked, overwrite)
            on_written(*_total(done))
            told = content._replace(
                records=lambda *which: _told(content.records(*which), on_written)
            )
            try:
                for shard in _written(told, place, shares, shard_bytes, done):
                    done.append(shard)
                    record_journal.enter(place.unfinished, asked, done)
                _check_number(content, done)
            except Refusal:  # what is read has to change, and then so do the records
                shutil.rmtree(place.unfinished)
                raise
            _describe(content, place, done)
            record_journal.publish(place)
        sync_folder(place.folder.parent)
    return _counted(done)


def _written(
    content: Content,
    place: Place,
    shares: Shares,
    shard_bytes: int,
    done: list[Shard],
) -> Iterator[Shard]:
    """Writes the shards that are not in `done`; yields each one as it is complete."""
    for split in SPLITS:
        own = [one for one in done if one.split == split]
        units = splitting.units_of(split, shares, content.num_units)
        records = content.records(units, sum(one.num_records for one in own))
        following = next(records, None)
        for number in itertools.count(len(own)):
            if following is None:
                break
            path = place.unfinished / working_name(split, number)
            shard, following = _write_shard(path, following, records, shard_bytes)
            yield shard._replace(split=split)


def _told(records: Records, on_written: OnWritten) -> Records:
    for record in records:
        on_written(1, len(record))
        yield record


def _write_shard(
    path: Path, first: bytes, records: Records, most: int
) -> tuple[Shard, bytes | None]:
    """Writes one shard; returns it and the first record of the next one."""
    temporary = path.with_name(f".{path.name}.tmp")
    number, size, following = 0, 0, first
    try:
        with _writer(temporary) as writer:
            while following is not None and writer.ok():
                if number and size + len(following) > most:
                    break
                writer.write(following)
                number, size = number + 1, size + len(following)
                following = next(records, None)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        with _as_disk_error():
            shards.check(temporary, number, _NO_LIMIT)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return Shard("", number, size, record_journal.digest(path)), following


@contextlib.contextmanager
def _writer(path: Path) -> Iterator[Any]:
    """Opens a shard; its errors, which appear when it is closed, become OSError."""
    # pyright cannot read this compiled module.
    from array_record.python import array_record_module as compiled  # pyright: ignore

    # Each record can be read by itself, as in the shards of TFDS.
    writer = compiled.ArrayRecordWriter(str(path), "group_size:1")
    try:
        yield writer
    except BaseException:
        with contextlib.suppress(RuntimeError):
            writer.close()
        raise
    try:
        writer.close()
    except RuntimeError as error:  # "write() failed: No space left on device; ..."
        raise OSError(str(error).split(";")[0]) from error


@contextlib.contextmanager
def _as_disk_error() -> Iterator[None]:
    try:
        yield
    except Refusal as error:
        raise OSError(f"what was written is damaged ({error})") from error


def _check_place(place: Place, overwrite: bool) -> None:
    place.data_dir.mkdir(parents=True, exist_ok=True)
    found = prepared.find(place.name, place.data_dir)
    if found is not None and found != place.folder:
        raise Refusal(f"{found} is another data set; expected another --name")
    if os.path.lexists(place.folder) and not overwrite:
        raise Refusal(f"{place.folder} is another data set; --overwrite replaces it")


def _check_number(content: Content, done: list[Shard]) -> None:
    found, _ = _total(done)
    if found != content.num_examples:
        raise Refusal(
            f"{found} examples instead of {content.num_examples}: what is read has"
            " changed meanwhile"
        )


def _describe(content: Content, place: Place, done: list[Shard]) -> None:
    """Gives the shards their last names and writes the description."""
    folder, features = place.unfinished, content.features
    own = {split: [x for x in done if x.split == split] for split in SPLITS}
    checksums = {}
    for split, some in own.items():
        for number, shard in enumerate(some):
            name = record_journal.final_name(place.name, split, number, len(some))
            os.replace(folder / working_name(split, number), folder / name)
            checksums[name] = shard.sha256
    write_json(folder / "features.json", record_format.features_json(features))
    if features.class_names is not None:
        names = record_format.labels_text(features.class_names)
        write_bytes(folder / "label.labels.txt", names.encode())
    splits = [
        SplitInfo(split, tuple(x.num_records for x in some), _total(some)[1])
        for split, some in own.items()
    ]
    named = f"{place.name}:{VERSION}"
    about = content.description
    info = record_format.info_json(named, about, features, splits, checksums)
    write_json(folder / "dataset_info.json", info)


def _total(done: list[Shard]) -> tuple[int, int]:
    """Returns the number of records and their bytes."""
    return sum(x.num_records for x in done), sum(x.num_bytes for x in done)


def _counted(done: list[Shard]) -> dict[str, int]:
    return {
        split: _total([one for one in done if one.split == split])[0]
        for split in SPLITS
    }
