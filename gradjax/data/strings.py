"""Texts on the host, and how they are kept as arrays.

A cache holds arrays only, so a list of texts is kept as one array of UTF-8 bytes and
one of where each text ends.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradjax.data.cache import Arrays


class Part(NamedTuple):
    """The texts of one split, and what each is about."""

    texts: list[str]
    labels: np.ndarray  # i32[examples], in [0, classes)


class LabelledTexts(NamedTuple):
    """Texts to classify, split once and for all."""

    name: str  # the TFDS name, or the file's
    train: Part
    validation: Part
    test: Part
    class_names: tuple[str, ...]  # one a class
    fingerprint: str  # sha256 of where it came from
    origin: str  # one readable line: the folder or the file


class PlainText(NamedTuple):
    """One long text to model character by character, cut into three stretches."""

    name: str
    train: str
    validation: str
    test: str
    fingerprint: str
    origin: str


def pack(prefix: str, texts: Sequence[str]) -> Arrays:
    """Texts as two arrays: `<prefix>_utf8` u8[bytes], `<prefix>_end` i64[texts]."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([len(one) for one in encoded], dtype=np.int64)
    content = np.frombuffer(b"".join(encoded), np.uint8)
    return {f"{prefix}_utf8": content, f"{prefix}_end": ends}


def unpack(prefix: str, arrays: Arrays) -> list[str]:
    """The texts that `pack` took."""
    content = arrays[f"{prefix}_utf8"].tobytes()
    ends = arrays[f"{prefix}_end"].tolist()
    return [
        content[start:end].decode()
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
