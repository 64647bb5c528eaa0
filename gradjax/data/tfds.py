"""Loads image-classification data sets that TensorFlow Datasets has prepared.

They are read as ArrayRecord files, without TensorFlow and without a network connection.
The decoded arrays are cached, so later loads neither decode nor import
tensorflow_datasets. Measured for MNIST on 2 CPU cores: the first load takes 6 s, later
ones 0.07 s.
"""

import functools
import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from gradjax.data import prepared, shards
from gradjax.data.arrays import check_labels
from gradjax.data.cache import read_or_make
from gradjax.errors import Refusal
from gradjax.files import sha256
from gradjax.types import Dataset

NUM_VALIDATION = 5_000
MAX_BYTES = 8 * 2**30  # of decoded images, because all are kept in memory
_CHUNK = 2_000  # encoded records in memory at once
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # number of channels -> PIL mode


def load(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Loads a prepared data set whose features include "image" and "label".

    The validation split is that of the data set. If there is none, it is the last 5,000
    training examples (the last tenth if there are fewer than 50,000).

    Args:
      name: `mnist`, `name/config`, either with `:version`; default: newest version.
      data_dir: TFDS's folder; None means `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.

    Returns:
      "image" u8[examples, height, width, channels] and "label" i32[examples] of each
      split. The fingerprint covers all files of the data set's folder, so a changed
      file is read and checked again.

    Raises:
      Refusal: the data set is not prepared, damaged or of another kind. The line names
        the file, what was expected and what was found.
    """
    folder = prepared.find(name, data_dir)
    if folder is None:
        raise prepared.not_prepared(name, data_dir, "--dataset=digits")
    plain_name, _ = prepared.parse(name)
    try:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        fingerprint = sha256(*files)
    except OSError as error:
        raise Refusal(f"{error.filename or folder}: {error.strerror}") from error
    key = f"{plain_name.replace('/', '-')}-{fingerprint[:16]}"
    arrays = read_or_make(key, functools.partial(_decode, folder))
    return Dataset(
        name=plain_name,
        **_split(arrays),
        num_classes=int(arrays["num_classes"]),
        max_value=255.0,
        fingerprint=fingerprint,
        origin=str(folder),
    )


def _split(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    def part(split: str, start: int, stop: int | None) -> dict[str, np.ndarray]:
        return {key: arrays[f"{split}_{key}"][start:stop] for key in ("image", "label")}

    test = part("test", 0, None)
    if "validation_label" in arrays:
        return {
            "train": part("train", 0, None),
            "validation": part("validation", 0, None),
            "test": test,
        }
    num_examples = len(arrays["train_label"])
    small = max(1, num_examples // 10)
    held_out = NUM_VALIDATION if num_examples >= 50_000 else small
    first = num_examples - held_out
    return {
        "train": part("train", 0, first),
        "validation": part("train", first, None),
        "test": test,
    }


def _decode(folder: Path) -> dict[str, np.ndarray]:
    import tensorflow_datasets as tfds

    prepared.check_format(folder)
    try:
        builder = tfds.builder_from_directory(folder)
        features, splits = builder.info.features, builder.info.splits
    except Exception as error:  # TFDS raises many types for a damaged description
        reason = _first_line(error)
        raise Refusal(f"{folder}: unreadable description ({reason})") from error
    shape, num_classes = _declared_shape(folder, features)
    wanted = [name for name in ("train", "validation", "test") if name in splits]
    if not {"train", "test"} <= set(wanted):
        found = ", ".join(splits) or "none"
        raise Refusal(f"{folder}: splits {found}; expected train and test, not empty")
    arrays = {"num_classes": np.asarray(num_classes)}
    for name in wanted:
        images, labels = _read_split(builder, name, shape)
        check_labels(labels, num_classes, f"{folder}, split {name}")
        arrays[f"{name}_image"] = images
        arrays[f"{name}_label"] = labels.astype(np.int32)
    return arrays


def _declared_shape(folder: Path, features: Any) -> tuple[tuple[int, ...], int]:
    """Returns the declared shape of the images and the number of classes.

    Raises:
      Refusal: the features are not a uint8 image of a fixed shape and a class label.
    """
    import tensorflow_datasets as tfds

    found = ", ".join(sorted(features))
    if not {"image", "label"} <= set(features):
        raise Refusal(f"{folder}: features {found}; expected image and label")
    image, label = features["image"], features["label"]
    is_image = isinstance(image, tfds.features.Image)
    is_class = isinstance(label, tfds.features.ClassLabel)
    if not (is_image and is_class and label.num_classes):
        actual = f"image is {type(image).__name__}, label {type(label).__name__}"
        raise Refusal(f"{folder}: {actual}; expected an Image and a ClassLabel")
    declared = features.get_tensor_info()["image"]
    shape, dtype = declared.shape, np.dtype(declared.np_dtype)
    if len(shape) != 3 or None in shape or shape[2] not in _MODES or dtype != np.uint8:
        expected = "expected uint8 of one fixed shape with 1, 3 or 4 channels"
        raise Refusal(f"{folder}: images are {dtype} of shape {shape}; {expected}")
    return shape, label.num_classes


def _read_split(
    builder: Any, split: str, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    import tensorflow_datasets as tfds

    parts = _checked_shards(builder, split, math.prod(shape))
    num_examples = sum(length for _, length in parts)
    images = np.empty((num_examples, *shape), np.uint8)
    labels = np.empty(num_examples, np.int64)
    # The images are read encoded and decoded by PIL. TFDS would use OpenCV where it is
    # installed, which gives other pixels for a JPEG. The size of an encoded image can
    # also be checked before it is unpacked.
    decoders = {"image": tfds.decode.SkipDecoding()}
    records = builder.as_data_source(split, decoders=decoders)
    first = 0
    for path, length in parts:
        for start in range(first, first + length, _CHUNK):
            keys = range(start, min(start + _CHUNK, first + length))
            for key, record in zip(keys, _records(records, keys, path), strict=True):
                images[key] = _image(record["image"], shape, path, key - first)
                labels[key] = record["label"]
        first += length
    return images, labels


def _checked_shards(builder: Any, split: str, pixels: int) -> list[tuple[Path, int]]:
    """Checks the shards of a split and returns each with its number of records."""
    info = builder.info.splits[split]
    if not info.num_examples:
        raise Refusal(f"{builder.data_dir}: split {split} declares no examples")
    if info.num_examples * pixels > MAX_BYTES:
        needed = f"split {split} needs {info.num_examples * pixels} bytes in memory"
        raise Refusal(f"{builder.data_dir}: {needed}; expected at most {MAX_BYTES}")
    paths = [Path(path) for path in info.filepaths]
    parts = list(zip(paths, info.shard_lengths, strict=True))
    for path, length in parts:
        # The bound is generous because an encoded image may be larger than a decoded
        # one, and because a record may have other features.
        shards.check(path, length, length * (4 * pixels + 4096) + 2**20)
    return parts


def _records(source: Any, keys: range, path: Path) -> Any:
    try:
        return source.__getitems__(list(keys))
    except Exception as error:  # a wrong hash, or a record that cannot be parsed
        raise Refusal(f"{path}: damaged ({_first_line(error)})") from error


def _image(
    content: bytes, shape: tuple[int, ...], path: Path, record: int
) -> np.ndarray:
    from PIL import Image

    height, width, channels = shape
    declared = (width, height, _MODES[channels])
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            found = (*image.size, image.mode)
            if found == declared:
                return np.frombuffer(image.tobytes(), np.uint8).reshape(shape)
    except Exception as error:  # PIL raises OSError, SyntaxError, ValueError and others
        reason = _first_line(error)
        raise Refusal(f"{path}: record {record} is no image ({reason})") from error
    expected = "x".join(map(str, declared))
    actual = "x".join(map(str, found))
    raise Refusal(f"{path}: record {record} is an image {actual}; expected {expected}")


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
