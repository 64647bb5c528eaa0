"""Types for texts on the host, and their conversion to arrays.

The cache can hold only arrays. A list of texts is therefore stored as one array of
UTF-8 bytes and one array of the positions at which the texts end.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradjax.data.cache import Arrays
from gradjax.data.pieces import Text


class Part(NamedTuple):
    """The texts of one split, and their labels."""

    texts: list[str]
    labels: np.ndarray  # i32[examples], in [0, classes)


class LabelledTexts(NamedTuple):
    """Texts with labels and a fixed split."""

    name: str  # the TFDS name, or that of the file
    train: Part
    validation: Part
    test: Part
    class_names: tuple[str, ...]  # one name per class
    fingerprint: str  # sha256 of the source
    origin: str  # one readable line: the folder or the file
    understood: str = ""  # one line: what was understood of a file of the user


class PlainText(NamedTuple):
    """A long text for language models, with a fixed split."""

    name: str  # the TFDS name, or that of the file
    train: Text
    validation: Text
    test: Text
    fingerprint: str  # sha256 of the source
    origin: str  # one readable line: the folder or the file


def pack(prefix: str, texts: Sequence[str]) -> Arrays:
    """Converts texts to arrays `<prefix>_utf8` u8[bytes], `<prefix>_end` i64[texts]."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([len(one) for one in encoded], dtype=np.int64)
    content = np.frombuffer(b"".join(encoded), np.uint8)
    return {f"{prefix}_utf8": content, f"{prefix}_end": ends}


def unpack(prefix: str, arrays: Arrays) -> list[str]:
    """Converts the arrays of `pack` back to texts."""
    content = arrays[f"{prefix}_utf8"].tobytes()
    ends = arrays[f"{prefix}_end"].tolist()
    return [
        content[start:end].decode()
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
