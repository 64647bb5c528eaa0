"""Where batches come from: bundled digits, prepared TFDS data sets, your own arrays."""

from collections.abc import Callable
from pathlib import Path

from gradjax.data import digits, prepared, tfds
from gradjax.data.prepared import default_data_dir
from gradjax.types import Dataset

__all__ = ["DATASETS", "default_data_dir", "is_prepared", "load"]

DATASETS: dict[str, Callable[[], Dataset]] = {"digits": digits.load}  # bundled ones


def load(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Loads a data set by name: a bundled one, or one that TFDS has prepared.

    Args:
      name: `digits`, or a TFDS name such as `mnist`, `mnist:3.0.1`, `name/config`.
      data_dir: TFDS's folder; None means `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.

    Returns:
      The data set on the host, split into train, validation and test.

    Raises:
      Refusal: unknown, not prepared, damaged, or not images with labels.
    """
    if name in DATASETS:
        return DATASETS[name]()
    return tfds.load(name, data_dir)


def is_prepared(name: str, data_dir: str | Path | None = None) -> bool:
    """Whether `load` would find this data set, in milliseconds and without reading it.

    Raises:
      Refusal: a malformed name, or a data_dir that is no folder.
    """
    return name in DATASETS or prepared.find(name, data_dir) is not None
