"""Reads UTF-8 text of any length in parts, plain or packed (`.gz`)."""

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gradjax.data.record_journal import digest
from gradjax.errors import Refusal

PIECE = 2**16  # characters of a part, before the line that it ends with
MAX_LINE = 2**24  # characters of a line of a table
_BLOCK = 2**20  # bytes


def pieces(path: Path) -> Iterator[str]:
    r"""Yields a text in parts that end with a line, if a line is not too long.

    Line breaks become \n, and the last part ends with one.

    Raises:
      Refusal: the file cannot be read, or is not UTF-8.
    """
    with _opened(path, None) as file:
        while piece := _read(path, lambda: file.read(PIECE)):
            piece += _read(path, lambda: file.readline(PIECE))
            is_cut = len(piece) == 2 * PIECE  # in a line that is too long
            yield piece if is_cut or piece.endswith("\n") else f"{piece}\n"


def lines(path: Path) -> Iterator[str]:
    """Yields the lines of a file with their ends.

    Raises:
      Refusal: as `pieces`; a line that is too long.
    """
    with _opened(path, "") as file:
        number = 1
        while line := _read(path, lambda: file.readline(MAX_LINE)):
            if len(line) >= MAX_LINE:
                raise Refusal(
                    f"{path}:{number}: a line of {MAX_LINE} or more characters;"
                    " expected an example on each line"
                )
            yield line
            number += 1


def sha256(path: Path) -> str:
    """Returns the checksum of a file.

    Raises:
      Refusal: the file cannot be read.
    """
    try:
        return digest(path)
    except (OSError, ValueError) as error:  # ValueError: NUL in a path
        raise _unreadable(path, error) from error


def _opened(path: Path, newline: str | None) -> Any:
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding="utf-8-sig", newline=newline)
        return path.open(encoding="utf-8-sig", newline=newline)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _read(path: Path, read: Any) -> str:
    try:
        return read()
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Refusal(f"{path}: damaged ({error}); expected gzip") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> Refusal:
    reason = getattr(error, "strerror", None) or str(error)
    return Refusal(f"{str(path)!r}: {reason}; expected a text file")


def _not_utf8(path: Path) -> Refusal:
    """Returns the refusal with the line of the first wrong byte."""
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while block := file.read(_BLOCK):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                line += error.object.count(b"\n", 0, error.start)
                found = f"byte {error.object[error.start]:#04x} is not UTF-8"
                return Refusal(f"{path}:{line}: {found}; expected text in UTF-8")
            line += block.count(b"\n")
    return Refusal(f"{path}: ends within a character; expected text in UTF-8")
