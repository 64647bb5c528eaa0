"""The sources of batches: bundled digits, prepared TFDS data sets, your own arrays."""

from collections.abc import Callable
from pathlib import Path

from gradjax.data import digits, prepared, tfds
from gradjax.data.prepared import default_data_dir
from gradjax.errors import Refusal
from gradjax.types import Dataset

__all__ = ["DATASETS", "default_data_dir", "is_prepared", "load"]

DATASETS: dict[str, Callable[[], Dataset]] = {"digits": digits.load}  # bundled


def load(
    name: str, data_dir: str | Path | None = None, cache_bytes: int | None = None
) -> Dataset:
    """Loads a data set of images by name: a bundled one, or one prepared by TFDS.

    Args:
      name: `digits`, or a TFDS name such as `mnist`, `mnist:3.0.1`, `name/config`.
      data_dir: TFDS's folder; None means `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.
      cache_bytes: as in `tfds.load`.

    Returns:
      The data set on the host, split into train, validation and test.

    Raises:
      Refusal: the data set is unknown, not prepared or damaged, or does not consist of
        images with labels; or cache_bytes is negative or too large.
    """
    if cache_bytes is not None and not 0 <= cache_bytes < 2**63:
        raise Refusal(f"cache_bytes={cache_bytes}: must be from 0 to 2**63 - 1")
    if name in DATASETS:
        return DATASETS[name]()
    return tfds.load(name, data_dir, cache_bytes)


def is_prepared(name: str, data_dir: str | Path | None = None) -> bool:
    """Says whether `load` can find this data set; it takes milliseconds.

    Raises:
      Refusal: the name is malformed, or data_dir is not a folder.
    """
    return name in DATASETS or prepared.find(name, data_dir) is not None
