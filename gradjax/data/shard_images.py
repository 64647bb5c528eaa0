"""Images in the ArrayRecord shards of TFDS, decoded by PIL."""

import functools
import io
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.data import records, shards
from gradjax.errors import Refusal

MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # number of channels -> PIL mode
_CHUNK, _CHUNK_BYTES = 2_000, 2**22  # records and their pixels in memory at once


class Shard(NamedTuple):
    """A shard of a split, as it was when it was checked."""

    path: Path
    num_records: int
    size: int  # bytes
    changed: int  # the time of its last change, in ns


class Declared(NamedTuple):
    """What a data set declares of its images."""

    folder: Path
    fingerprint: str  # of its files
    shape: tuple[int, ...]  # height, width, channels
    num_classes: int
    num_examples: dict[str, int]  # of each split

    @property
    def image_bytes(self) -> int:
        """Returns the size of a decoded image."""
        return math.prod(self.shape)

    @property
    def chunk(self) -> int:
        """Returns how many records are in memory at once."""
        return max(1, min(_CHUNK, _CHUNK_BYTES // self.image_bytes))


class ShardImages:
    """Images that are decoded when they are indexed; an array without memory."""

    dtype = np.dtype(np.uint8)
    is_on_disk = True  # `arrays.source` streams them

    def __init__(self, declared: Declared, split: str, chosen: range | None = None):
        """Makes the images of a split, or of a range of it."""
        self._declared, self._split = declared, split
        self._parts = checked(declared, split)
        total = sum(part.num_records for part in self._parts)
        self._chosen = range(total) if chosen is None else chosen
        self.shape = (len(self._chosen), *declared.shape)
        self.ndim, self.nbytes = 4, math.prod(self.shape)

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self._chosen)

    def __getitem__(self, chosen: Any) -> Any:
        """Returns some images: u8[n, ...] of indices [n], a lazy part of a slice."""
        if isinstance(chosen, slice):
            return ShardImages(self._declared, self._split, self._chosen[chosen])
        indices = np.asarray(chosen, np.int64)
        keys = [self._chosen[key] for key in indices.ravel().tolist()]
        images = np.empty((len(keys), *self._declared.shape), np.uint8)
        self._check_unchanged()
        order = np.argsort(keys, kind="stable")  # neighbours share a chunk of a shard
        size = self._declared.chunk
        for start in range(0, len(keys), size):
            some = order[start : start + size]
            found = _records(self._declared, self._split, [keys[k] for k in some])
            for k, (record, place) in zip(some, found, strict=True):
                images[k] = image(record["image"], self._declared.shape, place)
        return images.reshape(*indices.shape, *self._declared.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Returns all images in memory."""
        found = self[np.arange(len(self))]
        return found if dtype is None else found.astype(dtype, copy=False)

    def _check_unchanged(self) -> None:
        for part in self._parts:
            try:
                status = part.path.stat()
            except OSError as error:
                raise Refusal(f"{part.path}: {error.strerror}, while it is read") from (
                    error
                )
            if (status.st_size, status.st_mtime_ns) != part[2:]:
                raise Refusal(f"{part.path}: has changed while it is read")


def declared(folder: Path, fingerprint: str) -> Declared:
    """Reads what a prepared data set declares of its images.

    Args:
      folder: of the data set.
      fingerprint: of its files; readers that are open are used again only for it.

    Raises:
      Refusal: the files have another format, the description cannot be read, there is
        no train or test split, or the features are not a uint8 image of a fixed shape
        and a class label.
    """
    info = _builder(folder, fingerprint).info
    shape, num_classes = _declared_shape(folder, info.features)
    wanted = [name for name in ("train", "validation", "test") if name in info.splits]
    if not {"train", "test"} <= set(wanted):
        found = ", ".join(info.splits) or "none"
        raise Refusal(f"{folder}: splits {found}; expected train and test, not empty")
    sizes = {name: info.splits[name].num_examples for name in wanted}
    for name, size in sizes.items():
        if not size:
            raise Refusal(f"{folder}: split {name} declares no examples")
    return Declared(folder, fingerprint, shape, num_classes, sizes)


def decoded(
    declared: Declared, split: str, with_images: bool = True
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields a split in parts: images u8[n, ...], or u8[0, ...], and labels i64[n]."""
    first, size = 0, declared.chunk
    for part in checked(declared, split):
        for start in range(first, first + part.num_records, size):
            keys = range(start, min(start + size, first + part.num_records))
            labels = np.empty(len(keys), np.int64)
            images = np.empty((len(keys), *declared.shape), np.uint8)
            for k, (record, at) in enumerate(_records(declared, split, list(keys))):
                labels[k] = record["label"]
                images[k] = image(record["image"], declared.shape, at)
            yield images if with_images else images[:0], labels
        first += part.num_records


def checked(declared: Declared, split: str) -> list[Shard]:
    """Checks the shards of a split and returns them.

    Raises:
      Refusal: see `shards.check`.
    """
    info = _builder(declared.folder, declared.fingerprint).info.splits[split]
    found = []
    for name, length in zip(info.filepaths, info.shard_lengths, strict=True):
        path = Path(name)
        # The bound is generous because an encoded image may be larger than a decoded
        # one, and because a record may have other features.
        shards.check(path, length, length * (4 * declared.image_bytes + 4096) + 2**20)
        status = path.stat()
        found.append(Shard(path, length, status.st_size, status.st_mtime_ns))
    return found


def image(content: bytes, shape: tuple[int, ...], place: tuple[Path, int]) -> Any:
    """Decodes a PNG or a JPEG: u8[height, width, channels].

    The images are read encoded and decoded by PIL. TFDS would use OpenCV where it is
    installed, which gives other pixels for a JPEG. The size of an encoded image can
    also be checked before it is unpacked.

    Args:
      content: the file.
      shape: the declared shape.
      place: the shard and the number of the record in it, for a refusal.

    Raises:
      Refusal: it is no image, or has another shape.
    """
    from PIL import Image

    path, record = place
    height, width, channels = shape
    wanted = (width, height, MODES[channels])
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as opened:
            found = (*opened.size, opened.mode)
            if found == wanted:
                return np.frombuffer(opened.tobytes(), np.uint8).reshape(shape)
    except Exception as error:  # PIL raises OSError, SyntaxError, ValueError and others
        reason = records.first_line(error)
        raise Refusal(f"{path}: record {record} is no image ({reason})") from error
    expected = "x".join(map(str, wanted))
    actual = "x".join(map(str, found))
    raise Refusal(f"{path}: record {record} is an image {actual}; expected {expected}")


def _records(
    declared: Declared, split: str, keys: list[int]
) -> Iterator[tuple[Any, tuple[Path, int]]]:
    """Yields the records of these numbers with their places."""
    source = _source(declared.folder, declared.fingerprint, split)
    info = _builder(declared.folder, declared.fingerprint).info.splits[split]
    ends = list(itertools.accumulate(info.shard_lengths))
    shard = np.searchsorted(ends, keys, side="right")
    for number, group in itertools.groupby(range(len(keys)), lambda k: shard[k]):
        own = [keys[k] for k in group]
        path, first = Path(info.filepaths[number]), ends[number]
        first -= info.shard_lengths[number]
        try:
            found = source.__getitems__(own)
        except Exception as error:  # a wrong hash, or a record that cannot be parsed
            raise Refusal(f"{path}: damaged ({records.first_line(error)})") from error
        for key, record in zip(own, found, strict=True):
            yield record, (path, key - first)


@functools.lru_cache(maxsize=8)
def _builder(folder: Path, fingerprint: str) -> Any:
    del fingerprint  # of other content this function is called again
    return records.opened(folder)


@functools.lru_cache(maxsize=8)
def _source(folder: Path, fingerprint: str, split: str) -> Any:
    """Returns the records of a split; its images stay encoded."""
    import tensorflow_datasets as tfds

    decoders = {"image": tfds.decode.SkipDecoding()}
    return _builder(folder, fingerprint).as_data_source(split, decoders=decoders)


def _declared_shape(folder: Path, features: Any) -> tuple[tuple[int, ...], int]:
    import tensorflow_datasets as tfds

    found = ", ".join(sorted(features))
    if not {"image", "label"} <= set(features):
        raise Refusal(f"{folder}: features {found}; expected image and label")
    pictures, label = features["image"], features["label"]
    is_image = isinstance(pictures, tfds.features.Image)
    is_class = isinstance(label, tfds.features.ClassLabel)
    if not (is_image and is_class and label.num_classes):
        actual = f"image is {type(pictures).__name__}, label {type(label).__name__}"
        raise Refusal(f"{folder}: {actual}; expected an Image and a ClassLabel")
    known = features.get_tensor_info()["image"]
    shape, dtype = known.shape, np.dtype(known.np_dtype)
    if len(shape) != 3 or None in shape or shape[2] not in MODES or dtype != np.uint8:
        expected = "expected uint8 of one fixed shape with 1, 3 or 4 channels"
        raise Refusal(f"{folder}: images are {dtype} of shape {shape}; {expected}")
    return shape, label.num_classes
