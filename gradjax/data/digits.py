"""The digits bundled with scikit-learn: real images that need no download."""

import hashlib
import importlib.metadata

import numpy as np

from gradjax.data.cache import read_or_make
from gradjax.data.order import order
from gradjax.types import Dataset

NUM_EXAMPLES = 1797
NUM_TEST = 360
NUM_VALIDATION = 180
MAX_VALUE = 16.0
_SPLIT_SEED = 0  # fixed, because every run must be evaluated on the same images


def load() -> Dataset:
    """Loads 1,797 real handwritten digits of 8x8 pixels with a fixed split.

    Returns:
      "image" u8[1257 | 180 | 360, 8, 8, 1] in 0..16 and "label" i32[...] in 0..9 for
      train, validation and test.

    Source:
      E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI
      Machine Learning Repository, 1998; its test set, as bundled with scikit-learn.
    """
    version = importlib.metadata.version("scikit-learn")
    # The arrays are cached because importing scikit-learn takes seconds and reading
    # them takes a millisecond.
    arrays = read_or_make(f"digits-{version}", _decode)
    positions = np.arange(NUM_EXAMPLES, dtype=np.uint32)
    places = order(_SPLIT_SEED, 0, positions, NUM_EXAMPLES)
    test, validation, train = np.split(places, [NUM_TEST, NUM_TEST + NUM_VALIDATION])
    content = arrays["image"].tobytes() + arrays["label"].tobytes()
    return Dataset(
        name="digits",
        train={name: values[train] for name, values in arrays.items()},
        validation={name: values[validation] for name, values in arrays.items()},
        test={name: values[test] for name, values in arrays.items()},
        num_classes=10,
        max_value=MAX_VALUE,
        fingerprint=hashlib.sha256(content).hexdigest(),
        origin=f"scikit-learn {version}, bundled digits",
    )


def _decode() -> dict[str, np.ndarray]:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return {
        "image": np.asarray(pixels, np.uint8).reshape(-1, 8, 8, 1),
        "label": np.asarray(labels, np.int32),
    }
