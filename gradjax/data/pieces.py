"""A long text in pieces: a `str`, or UTF-8 that may be in a memory-mapped file.

What goes over a whole text goes over its pieces, so a text in a mapped file takes the
memory of a few pieces, whatever its length.
"""

import codecs
import dataclasses
import hashlib
from collections.abc import Iterator

import numpy as np

SIZE = 2**16  # characters of a piece, up to the end of a line
_BLOCK = 2**20  # bytes that are decoded at once
_NUM_CODES = 0x110000  # code points of Unicode


@dataclasses.dataclass(frozen=True, eq=False)
class Utf8:
    """A long text as its bytes in UTF-8."""

    content: np.ndarray  # u8[bytes], in memory or mapped

    def __str__(self) -> str:
        """Returns the whole text."""
        return self.content.tobytes().decode()


Text = str | Utf8


def pieces(text: Text, size: int = SIZE) -> Iterator[str]:
    """Cuts a text after the first end of a line from `size` characters on.

    Where there is none within four times as many, it is cut there.
    """
    rest, start = "", 0

    def end() -> int:
        most = min(start + 4 * size, len(rest))
        return rest.find("\n", start + size - 1, most) + 1 or most

    for block in _blocks(text):
        rest, start = rest[start:] + block, 0
        while len(rest) - start >= 4 * size:
            start, begin = end(), start
            yield rest[begin:start]
    while start < len(rest):
        start, begin = end(), start
        yield rest[begin:start]


def num_bytes(text: Text) -> int:
    """Returns the size of a text in UTF-8."""
    if isinstance(text, Utf8):
        return len(text.content)
    return sum(len(piece.encode()) for piece in pieces(text))


def num_characters(text: Text) -> int:
    """Returns the number of characters of a text."""
    if isinstance(text, str):
        return len(text)
    # The first byte of a character is not 0b10xxxxxx.
    begun = (np.count_nonzero(part & 0xC0 != 0x80) for part in _parts(text.content))
    return int(sum(begun))


def alphabet(text: Text) -> str:
    """Returns the sorted characters of a text."""
    seen = np.zeros(_NUM_CODES, np.bool_)
    for piece in pieces(text):
        seen[code_points(piece)] = True
    return "".join(map(chr, np.flatnonzero(seen)))


def code_points(piece: str) -> np.ndarray:
    """Returns the code points of a text in memory: u32[characters]."""
    return np.frombuffer(piece.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


def numbering(letters: str) -> np.ndarray:
    """Returns u32[codes], the number of each character of an alphabet, from 1.

    Each other code point, up to one behind the largest, has 0.
    """
    codes = code_points(letters)
    made = np.zeros(int(codes.max(initial=0)) + 2, np.uint32)
    made[codes] = np.arange(1, len(codes) + 1)
    return made


def sha256(text: Text) -> str:
    """Returns the sha256 of a text in UTF-8."""
    total = hashlib.sha256()
    if isinstance(text, Utf8):
        for part in _parts(text.content):
            total.update(part.data)
    else:
        for piece in pieces(text):
            total.update(piece.encode())
    return total.hexdigest()


def _blocks(text: Text) -> Iterator[str]:
    if isinstance(text, str):
        yield text
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    for part in _parts(text.content):
        yield decoder.decode(part.tobytes())


def _parts(content: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(content), _BLOCK):
        yield content[start : start + _BLOCK]
