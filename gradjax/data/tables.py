"""Tables bundled with scikit-learn: real measurements that need no download."""

import importlib.metadata
from typing import Any

import numpy as np

from gradjax.data.cache import Arrays, read_or_make
from gradjax.data.order import order

WINE_CLASSES = 3
_SPLIT_SEED = 0  # fixed, because every run must be evaluated on the same examples


def diabetes() -> dict[str, Arrays]:
    """Loads the progression of diabetes in 442 patients, with 10 measurements of each.

    Returns:
      train, validation and test -> "x" f64[309 | 45 | 88, 10] and "y" f64[...], both
      standardised by the mean and the standard deviation of the train split.

    Source:
      Efron, Hastie, Johnstone and Tibshirani, "Least Angle Regression", Annals of
      Statistics 32, 2004, as bundled with scikit-learn.
    """
    splits = _splits(_load("diabetes", scaled=False))
    return _standardise(_standardise(splits, "x"), "y")


def breast_cancer() -> dict[str, Arrays]:
    """Loads 569 tumours, benign or malignant, with 30 measurements of their cells.

    Returns:
      train, validation and test -> "x" f64[398 | 57 | 114, 30], standardised by the
      mean and the standard deviation of the train split, and "y" f64[...], 1 for
      benign, else 0.

    Source:
      W. Wolberg, O. Mangasarian, N. Street and W. Street, "Breast Cancer Wisconsin
      (Diagnostic)", UCI Machine Learning Repository, 1993, as bundled with
      scikit-learn.
    """
    return _standardise(_splits(_load("breast_cancer")), "x")


def wine() -> dict[str, Arrays]:
    """Loads 178 wines of three growers, with 13 measurements of each.

    Returns:
      train, validation and test -> "x" f64[124 | 18 | 36, 13], standardised by the mean
      and the standard deviation of the train split, and "y" i32[...], the grower, 0 to
      2.

    Source:
      S. Aeberhard and M. Forina, "Wine", UCI Machine Learning Repository, 1991, as
      bundled with scikit-learn.
    """
    splits = _standardise(_splits(_load("wine")), "x")
    return {
        split: part | {"y": part["y"].astype(np.int32)}
        for split, part in splits.items()
    }


def _load(name: str, **options: Any) -> Arrays:
    """Loads a table; it is cached because importing scikit-learn takes seconds."""

    def read() -> Arrays:
        from sklearn import datasets

        x, y = getattr(datasets, f"load_{name}")(return_X_y=True, **options)
        return {"x": np.asarray(x, np.float64), "y": np.asarray(y, np.float64)}

    return read_or_make(f"{name}-{importlib.metadata.version('scikit-learn')}", read)


def _splits(arrays: Arrays) -> dict[str, Arrays]:
    """Splits a table: a fifth for test, a tenth for validation, the rest for train."""
    num_examples = len(arrays["y"])
    positions = np.arange(num_examples, dtype=np.uint32)
    places = order(_SPLIT_SEED, 0, positions, num_examples)
    num_test, num_validation = round(num_examples / 5), round(num_examples / 10)
    parts = np.split(places, [num_test, num_test + num_validation])
    return {
        split: {name: values[part] for name, values in arrays.items()}
        for split, part in zip(("test", "validation", "train"), parts, strict=True)
    }


def _standardise(splits: dict[str, Arrays], name: str) -> dict[str, Arrays]:
    """Scales an array to mean 0 and standard deviation 1 over the train split."""
    train = splits["train"][name]
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    return {
        split: arrays | {name: (arrays[name] - mean) / deviation}
        for split, arrays in splits.items()
    }
