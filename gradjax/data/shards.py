"""Checks an ArrayRecord shard before it is opened.

The checks are needed because array_record 0.8 reads a missing file or a folder as a
shard without records, does not compare a shard with the declaration of its data set,
and unpacks a record of any declared size (128 KiB on disk became 1 GiB in 13 s). It
does detect damage within a shard: every chunk has a hash, and a wrong one raises
RuntimeError.

A shard is a Riegeli file. It consists of blocks of 64 KiB, each with a header of 24
bytes. The rest of the blocks is one stream of chunks, each with a header of 40 bytes
(hash, data size, data hash, type and number of records, decoded size) and its data.
https://github.com/google/riegeli/blob/master/doc/riegeli_records_file_format.md
"""

import struct
from pathlib import Path
from typing import BinaryIO

from gradjax.errors import Refusal

_MAGIC = bytes.fromhex("83af70d10d884a3f")  # the hash that begins every such file
_BLOCK = 2**16
_BLOCK_HEADER = 24
_CHUNK_HEADER = struct.Struct("<8xQ8xQQ")
_CHUNK_TYPES = b"srtpm"  # signature, simple, transposed, padding, metadata


def check(path: Path, num_records: int, max_bytes: int) -> None:
    """Refuses a shard that differs from the declaration of its data set.

    Args:
      path: the shard.
      num_records: the number of records that `dataset_info.json` declares for it.
      max_bytes: the largest allowed size of its unpacked records.

    Raises:
      Refusal: the shard is missing, truncated or not an ArrayRecord file, has another
        number of records, or would unpack to more than max_bytes.
    """
    if not path.is_file():
        raise Refusal(f"{path}: no such shard; expected {num_records} records")
    with path.open("rb") as file:
        magic = file.read(len(_MAGIC))
        if magic != _MAGIC:
            expected = f"expected an ArrayRecord file, which begins with {_MAGIC.hex()}"
            raise Refusal(f"{path}: begins with {magic.hex() or 'nothing'}; {expected}")
        unpacked = unpacked_bytes(file)
    if unpacked > max_bytes:
        actual = f"{path.stat().st_size} bytes that unpack to {unpacked}"
        raise Refusal(f"{path}: {actual}; expected at most {max_bytes}")
    found = _num_records(path, num_records)
    if found != num_records:
        raise Refusal(f"{path}: {found} records; expected {num_records}")


def unpacked_bytes(file: BinaryIO) -> int:
    """Sums the decoded sizes that the chunks of a shard declare, with its index.

    Only the headers of the chunks are read.
    """
    total = position = 0
    while len(header := _read(file, position, _CHUNK_HEADER.size)) == (
        _CHUNK_HEADER.size
    ):
        size, kind, decoded = _CHUNK_HEADER.unpack(header)
        if kind & 0xFF not in _CHUNK_TYPES:
            break  # the rest is damaged; the hashes are checked when it is read
        total += decoded
        position += _CHUNK_HEADER.size + size
    return total


def _read(file: BinaryIO, position: int, count: int) -> bytes:
    """Reads from the stream of chunks, which is interrupted by the blocks' headers."""
    found = b""
    while len(found) < count:
        block, within = divmod(position + len(found), _BLOCK - _BLOCK_HEADER)
        file.seek(block * _BLOCK + _BLOCK_HEADER + within)
        part = file.read(min(count - len(found), _BLOCK - _BLOCK_HEADER - within))
        if not part:
            break
        found += part
    return found


def _num_records(path: Path, expected: int) -> int:
    # pyright cannot read this compiled module.
    from array_record.python import array_record_module as compiled  # pyright: ignore

    try:
        reader = compiled.ArrayRecordReader(str(path))
        found = reader.num_records()
        reader.close()  # raises the error that occurred when the index was read
    except RuntimeError as error:
        size = path.stat().st_size
        reason = str(error).split(";")[0]  # the rest is a location in array_record
        actual = f"truncated or damaged at {size} bytes ({reason})"
        raise Refusal(f"{path}: {actual}; expected {expected} records") from error
    return found
