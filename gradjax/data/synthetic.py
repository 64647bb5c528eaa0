"""Synthetic images with labels, of any number: for tests and benchmarks.

Each class has a pattern of random squares. An image is the mean of the pattern of its
class and of noise, so that a linear model can learn the labels. An image is a function
of the seed and of its number, so that any part of the data can be made by itself.
"""

import itertools
import math
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gradjax.data import record_format
from gradjax.data.order import MAX_EXAMPLES
from gradjax.data.record_format import Features
from gradjax.data.record_writer import Content
from gradjax.errors import Refusal

MAX_IMAGE_BYTES = 2**26
_SQUARES = 7  # of a pattern, along each side
_COLOURS = {1: 0, 3: 2, 4: 6}  # number of channels -> the colour type of a PNG


class Synthetic(NamedTuple):
    """What synthetic images are like."""

    num_examples: int
    shape: tuple[int, int, int] = (28, 28, 1)  # height, width, channels
    num_classes: int = 10
    seed: int = 0


def content(asked: Synthetic) -> Content:
    """Returns the records of synthetic images.

    Args:
      asked: what they are like.

    Raises:
      Refusal: an impossible number, shape or number of classes.
    """
    _check(asked)
    patterns = _patterns(asked)
    names = tuple(str(number) for number in range(asked.num_classes))
    features = Features(asked.shape, names)
    serialise = record_format.serialiser(features)

    def records(units: Iterator[int], skip: int) -> Iterator[bytes]:
        for number in itertools.islice(units, skip, None):
            image, label = example(asked, patterns, number)
            yield serialise(png(image), label)

    size = "x".join(map(str, asked.shape))
    return Content(
        features,
        asked.num_examples,
        asked.num_examples,
        records,
        {"kind": "synthetic", **asked._asdict(), "shape": list(asked.shape)},
        f"{asked.num_examples:,} synthetic images of {size} in {asked.num_classes:,}"
        f" classes, seed {asked.seed}",
    )


def example(
    asked: Synthetic, patterns: np.ndarray, number: int
) -> tuple[np.ndarray, int]:
    """Returns an image, u8[height, width, channels], and its label."""
    rng = np.random.Generator(
        np.random.Philox(key=asked.seed, counter=[0, 0, 0, number])
    )
    label = int(rng.integers(asked.num_classes))
    noise = np.frombuffer(rng.bytes(math.prod(asked.shape)), np.uint8)
    # Both are halved before they are added, because a sum would not fit into 8 bits.
    return (noise.reshape(asked.shape) >> 1) + (patterns[label] >> 1), label


def png(image: np.ndarray) -> bytes:
    """Encodes u8[height, width, channels] as a PNG without compression.

    It takes a tenth of PIL's time, which tries filters that help no noise.
    https://www.w3.org/TR/png-3/
    """
    height, width, channels = image.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # 0: a row has no filter
    rows[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[channels], 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"IDAT", zlib.compress(rows.tobytes(), 0)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body))
        + kind
        + body
        + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _patterns(asked: Synthetic) -> np.ndarray:
    """Returns the patterns of the classes, u8[classes, height, width, channels]."""
    height, width, channels = asked.shape
    rng = np.random.default_rng(asked.seed)
    squares = (asked.num_classes, _SQUARES, _SQUARES, channels)
    colours = rng.integers(0, 256, squares, np.uint8)
    rows = np.arange(height) * _SQUARES // height
    columns = np.arange(width) * _SQUARES // width
    return colours[:, rows[:, None], columns]


def _check(asked: Synthetic) -> None:
    if not 1 <= asked.num_examples <= MAX_EXAMPLES:
        expected = f"expected 1 to {MAX_EXAMPLES}"
        raise Refusal(f"num_examples={asked.num_examples}: {expected}")
    most = MAX_IMAGE_BYTES // math.prod(max(1, size) for size in asked.shape)
    if not 2 <= asked.num_classes <= most:
        expected = f"expected 2 to {most}, so that their patterns fit into memory"
        raise Refusal(f"num_classes={asked.num_classes}: {expected}")
    if min(asked.shape) < 1 or asked.shape[2] not in _COLOURS:
        size = "x".join(map(str, asked.shape))
        raise Refusal(f"shape={size}: expected height, width, and 1, 3 or 4 channels")
