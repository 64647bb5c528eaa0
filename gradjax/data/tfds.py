"""Loads image-classification data sets that TensorFlow Datasets has prepared.

They are read as ArrayRecord files, without TensorFlow and without a network connection.
The images are decoded once, into a file of the cache whose checksums are verified and
which is mapped into memory. So later loads neither decode nor import
tensorflow_datasets, and a streamed run never has the images in memory. Measured for
MNIST on 2 CPU cores: the first load takes 6 s, later ones 0.07 s.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gradjax.data import cache, prepared, shard_images
from gradjax.data.arrays import check_labels
from gradjax.data.mapped import Member, whole
from gradjax.data.shard_images import Declared, ShardImages
from gradjax.errors import Refusal
from gradjax.files import sha256
from gradjax.types import Dataset

NUM_VALIDATION = 5_000
MAX_BYTES = 8 * 2**30  # of the decoded images of a split that is kept in memory
CACHE_BYTES = 16 * 2**30  # of the decoded images of a data set


def load(
    name: str, data_dir: str | Path | None = None, cache_bytes: int | None = None
) -> Dataset:
    """Loads a prepared data set whose features include "image" and "label".

    The validation split is that of the data set. If there is none, it is the last 5,000
    training examples (the last tenth if there are fewer than 50,000).

    Args:
      name: `mnist`, `name/config`, either with `:version`; default: newest version.
      data_dir: TFDS's folder; None means `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.
      cache_bytes: the largest size of the decoded training images that is stored; a
        larger data set is decoded again while it is read. None: `CACHE_BYTES`.

    Returns:
      "image" u8[examples, height, width, channels] and "label" i32[examples] of each
      split, as memory-mapped files, or as `ShardImages` where nothing is stored. The
      fingerprint covers all files of the data set's folder, so a changed file is read
      and checked again.

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
    arrays = _arrays(folder, fingerprint, key, cache_bytes)
    return Dataset(
        name=plain_name,
        **_split(arrays),
        num_classes=np.asarray(arrays["num_classes"]).item(),
        max_value=255.0,
        fingerprint=fingerprint,
        origin=str(folder),
    )


def _arrays(
    folder: Path, fingerprint: str, key: str, cache_bytes: int | None
) -> dict[str, Any]:
    """Returns the arrays of the cache, or those of labels with images in shards."""
    most = CACHE_BYTES if cache_bytes is None else cache_bytes
    declared = functools.partial(shard_images.declared, folder, fingerprint)
    if cache.is_stored(key):
        return cache.map_or_make(key, lambda: _decoded(declared(), is_whole=True))
    known = declared()
    _check_memory(known)
    if known.num_examples["train"] * known.image_bytes <= most:
        return cache.map_or_make(key, lambda: _decoded(known, is_whole=True))
    key = f"{key}-without-train"
    arrays = cache.map_or_make(key, lambda: _decoded(known, is_whole=False))
    return arrays | {"train_image": ShardImages(known, "train")}


def _check_memory(known: Declared) -> None:
    """Refuses splits that are evaluated, and so are in memory, and do not fit there."""
    sizes = {"validation": _num_validation(known.num_examples["train"])}
    sizes |= {name: n for name, n in known.num_examples.items() if name != "train"}
    for name, size in sizes.items():
        if size * known.image_bytes > MAX_BYTES:
            needed = f"split {name} needs {size * known.image_bytes} bytes in memory"
            raise Refusal(f"{known.folder}: {needed}; expected at most {MAX_BYTES}")


def _num_validation(num_examples: int) -> int:
    """Returns how many training examples are set aside if there is no such split."""
    return NUM_VALIDATION if num_examples >= 50_000 else max(1, num_examples // 10)


def _split(arrays: dict[str, Any]) -> dict[str, dict[str, Any]]:
    def part(split: str, start: int, stop: int | None) -> dict[str, Any]:
        return {key: arrays[f"{split}_{key}"][start:stop] for key in ("image", "label")}

    test = part("test", 0, None)
    if "validation_label" in arrays:
        return {
            "train": part("train", 0, None),
            "validation": part("validation", 0, None),
            "test": test,
        }
    num_examples = len(arrays["train_label"])
    first = num_examples - _num_validation(num_examples)
    validation = part("train", first, None)
    if isinstance(validation["image"], ShardImages):
        validation["image"] = np.asarray(validation["image"])
    return {"train": part("train", 0, first), "validation": validation, "test": test}


def _decoded(known: Declared, is_whole: bool) -> Iterator[Member]:
    """Yields the arrays of a data set, which are decoded while they are written.

    Args:
      known: what the data set declares.
      is_whole: whether the training images are among them.
    """
    yield whole("num_classes", np.asarray([known.num_classes]))
    for split, size in known.num_examples.items():
        labels: list[np.ndarray] = []
        has_images = is_whole or split != "train"
        parts = functools.partial(_images, known, split, labels, has_images)
        if has_images:
            shape = (size, *known.shape)
            yield Member(f"{split}_image", shape, np.dtype(np.uint8), parts)
        else:
            for _ in parts():
                pass
        found = np.concatenate(labels)
        check_labels(found, known.num_classes, f"{known.folder}, split {split}")
        yield whole(f"{split}_label", found.astype(np.int32))


def _images(
    known: Declared, split: str, labels: list[np.ndarray], has_images: bool
) -> Iterator[np.ndarray]:
    """Yields the images of a split in parts, and collects their labels."""
    for images, own in shard_images.decoded(known, split, has_images):
        labels.append(own)
        yield images
