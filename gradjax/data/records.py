"""Reads the records of a data set that TFDS has prepared.

They are read without TensorFlow and without a network connection. Each shard is checked
first.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gradjax.data import prepared, shards
from gradjax.data.cache import Arrays, read_or_make
from gradjax.errors import Refusal
from gradjax.files import sha256

MAX_BYTES = 2**29  # of one shard, whose declared size can be wrong
_TOGETHER = 64  # records in memory at once


def read_or_decode(
    kind: str,
    name: str,
    data_dir: str | Path | None,
    decode: Callable[[Path], Any],
    load: Callable[[str, Callable[[], Any]], Arrays] = read_or_make,
) -> tuple[Path, str, Arrays]:
    """Finds a prepared data set and decodes it to arrays, which are cached.

    Args:
      kind: the kind of the data, with which the name in the cache begins.
      name: `ag_news_subset`, `glue/sst2`, either with `:version`.
      data_dir: TFDS's folder; None means `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.
      decode: function from the folder to what `load` stores; called if nothing is
        cached.
      load: `cache.read_or_make` or `cache.map_or_make`.

    Returns:
      (the folder, the sha256 of its files, the arrays).

    Raises:
      Refusal: the data set is not prepared or cannot be read.
    """
    folder = prepared.find(name, data_dir)
    if folder is None:
        raise prepared.not_prepared(name, data_dir)
    try:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        fingerprint = sha256(*files)
    except OSError as error:
        raise Refusal(f"{error.filename or folder}: {error.strerror}") from error
    plain_name, _ = prepared.parse(name)
    key = f"{kind}-{plain_name.replace('/', '-')}-{fingerprint[:16]}"
    return folder, fingerprint, load(key, functools.partial(decode, folder))


def builder(folder: Path) -> Any:
    """Returns the builder of TFDS for a prepared folder.

    Raises:
      Refusal: the files have another format, the description cannot be read, or there
        is no train split.
    """
    found = opened(folder)
    if "train" not in found.info.splits:
        listed = ", ".join(found.info.splits) or "none"
        raise Refusal(f"{folder}: splits {listed}; expected train, not empty")
    return found


def opened(folder: Path) -> Any:
    """Returns the builder of TFDS for a prepared folder, whatever its splits are.

    Raises:
      Refusal: the files have another format, or the description cannot be read.
    """
    import tensorflow_datasets as tfds

    prepared.check_format(folder)
    try:
        found = tfds.builder_from_directory(folder)
        _ = found.info.features, found.info.splits
    except Exception as error:  # TFDS raises many types for a damaged description
        reason = first_line(error)
        raise Refusal(f"{folder}: unreadable description ({reason})") from error
    return found


def read(found: Any, split: str) -> Iterator[tuple[str, Any]]:
    """Yields the records of a split of a `builder`, as pairs (location, record).

    Raises:
      Refusal: the split has no examples, or a shard is damaged; the line names it.
    """
    info = found.info.splits[split]
    if not info.num_examples:
        raise Refusal(f"{found.data_dir}: split {split} declares no examples")
    source = found.as_data_source(split)
    first = 0
    for name, length in zip(info.filepaths, info.shard_lengths, strict=True):
        shards.check(Path(name), length, MAX_BYTES)
        for start in range(0, length, _TOGETHER):
            chosen = range(start, min(start + _TOGETHER, length))
            try:
                some = source.__getitems__([first + k for k in chosen])
            except Exception as error:  # a wrong hash, or one that cannot be parsed
                raise Refusal(f"{name}: damaged ({first_line(error)})") from error
            for k, one in zip(chosen, some, strict=True):
                yield f"{name}: record {k}", one
        first += length


def text(content: bytes, where: str) -> str:
    """Decodes UTF-8; `where` is the location that a refusal names.

    Raises:
      Refusal: the bytes are not UTF-8.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Refusal(f"{where} is not UTF-8 ({error.reason})") from error


def first_line(error: Exception) -> str:
    """Returns the type and the first line of an exception of another library."""
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
