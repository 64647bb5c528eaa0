"""The records of a data set that TFDS has prepared, on the host as they are.

Read without TensorFlow and without a network; each shard is checked first.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradjax.data import prepared, shards
from gradjax.data.cache import Arrays, cached
from gradjax.errors import Refusal
from gradjax.files import sha256

MAX_BYTES = 2**29  # of one shard: it is kept in memory as a whole


def kept(
    kind: str,
    name: str,
    data_dir: str | Path | None,
    decode: Callable[[Path], Arrays],
) -> tuple[Path, str, Arrays]:
    """The folder of a data set, its fingerprint and what `decode` makes of it, kept.

    Args:
      kind: what the arrays are, the start of their name in the cache.
      name: `ag_news_subset`, `glue/sst2`, either with `:version`.
      data_dir: TFDS's folder; None means `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.
      decode: from the folder to arrays; called where the cache has none.

    Raises:
      Refusal: not prepared, or not to be read.
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
    return folder, fingerprint, cached(key, functools.partial(decode, folder))


def builder(folder: Path) -> Any:
    """TFDS's own view of a prepared folder.

    Raises:
      Refusal: another file format, an unreadable description, or no train split.
    """
    import tensorflow_datasets as tfds

    prepared.check_format(folder)
    try:
        found = tfds.builder_from_directory(folder)
        _ = found.info.features, found.info.splits
    except Exception as error:  # whatever TFDS trips over in a damaged description
        reason = _first_line(error)
        raise Refusal(f"{folder}: unreadable description ({reason})") from error
    if "train" not in found.info.splits:
        listed = ", ".join(found.info.splits) or "none"
        raise Refusal(f"{folder}: splits {listed}; expected train, not empty")
    return found


def read(found: Any, split: str) -> list[tuple[str, Any]]:
    """Every record of a split of a `builder`, with where it stands.

    Raises:
      Refusal: no examples, or a damaged shard, by name.
    """
    info = found.info.splits[split]
    if not info.num_examples:
        raise Refusal(f"{found.data_dir}: split {split} declares no examples")
    source = found.as_data_source(split)
    records, first = [], 0
    for name, length in zip(info.filepaths, info.shard_lengths, strict=True):
        shards.check(Path(name), length, MAX_BYTES)
        try:
            some = source.__getitems__(list(range(first, first + length)))
        except Exception as error:  # a hash that differs, a record that does not parse
            raise Refusal(f"{name}: damaged ({_first_line(error)})") from error
        records += [(f"{name}: record {k}", one) for k, one in enumerate(some)]
        first += length
    return records


def text(content: bytes, where: str) -> str:
    """The bytes as text.

    Raises:
      Refusal: they are not UTF-8.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Refusal(f"{where} is not UTF-8 ({error.reason})") from error


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
