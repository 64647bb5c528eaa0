"""Reads a text file of the user completely: plain or packed, in UTF-8 or UTF-16."""

import codecs
import gzip
import os
import zlib
from pathlib import Path

from gradjax.errors import Refusal

MAX_BYTES = 2**29  # of one unpacked file, because it is read into memory completely
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ENDINGS = (".csv", ".tsv", ".txt", ".dat", ".data", ".jsonl", ".ndjson", ".json")


def is_path(name: str) -> bool:
    """Says whether a data set's name refers to a file of the user.

    It does if it begins like a path (/, ./, ../ or ~), if it has an ending of a text
    file such as .csv, .tsv, .jsonl or .txt, also before .gz, or if such a file exists.
    Any other name is a TFDS name, such as `glue/sst2`.
    """
    is_spelt = name.startswith(("/", "./", "../", "~")) or name in (".", "..")
    ending = Path(name.lower().removesuffix(".gz")).suffix
    return is_spelt or ending in _ENDINGS or os.path.isfile(name)


def read(path: Path) -> bytes:
    """Reads the unpacked content of a file; `.gz` is unpacked.

    Raises:
      Refusal: the file is missing, damaged, too large, or has no content.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Refusal(f"{path}: damaged ({error}); expected gzip") from error
    except (OSError, ValueError) as error:  # ValueError: NUL in a path
        reason = getattr(error, "strerror", None) or str(error)
        raise Refusal(f"{str(path)!r}: {reason}; expected a text file") from error
    if len(content) > MAX_BYTES:
        raise Refusal(f"{path}: too long; expected at most {MAX_BYTES} bytes of text")
    if not content.strip():
        raise Refusal(f"{path}: empty; expected text")
    return content


def decode(path: Path, content: bytes) -> str:
    """Decodes UTF-8, with or without a byte order mark, or UTF-16 with such a mark.

    Raises:
      Refusal: the content has another encoding; the line has the first wrong place.
    """
    if content.startswith(_UTF16):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError as error:
            raise Refusal(f"{path}: damaged UTF-16 ({error.reason})") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte {content[error.start]:#04x} is not UTF-8"
        raise Refusal(f"{path}:{line}: {found}; expected text in UTF-8") from error
