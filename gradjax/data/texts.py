"""Loads texts by name, prepared by TFDS or from a file of the user.

Data sets of TFDS are read without TensorFlow and without a network connection, checked
and cached as arrays, as `gradjax.data.tfds` does with images.

The data set `clinc_oos` has requests that belong to none of its 150 intents, in the
splits train_oos, validation_oos and test_oos. They are not read, so accuracy is that of
the in-scope problem.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.data import content, prepared, records, text_files
from gradjax.data.arrays import check_labels
from gradjax.data.cache import Arrays, map_or_make
from gradjax.data.mapped import Member
from gradjax.data.pieces import Utf8
from gradjax.data.strings import LabelledTexts, Part, PlainText, pack, unpack
from gradjax.errors import Refusal

_SPLITS = ("train", "validation", "test")


class _Fields(NamedTuple):
    """The names of the features that hold the text, the label and the label's name."""

    texts: tuple[str, ...]  # joined by a space
    label: str
    label_name: str | None = None


# Needed for data sets with several texts, or with a label that is a number without a
# declared name.
_FIELDS = {
    "ag_news_subset": _Fields(("title", "description"), "label"),
    "clinc_oos": _Fields(("text",), "intent", "intent_name"),
}


def load_labelled(
    name: str,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
) -> LabelledTexts:
    """Loads texts with labels by name.

    The test split is that of the data set. If there is none, or if its labels are
    withheld (-1, as in `glue`), the validation split becomes the test split. If there
    is then no validation split, the last tenth of the train split (5,000 at most)
    becomes the validation split.

    Args:
      name: a TFDS data set with a Text and a ClassLabel (`imdb_reviews`, `glue/sst2`,
        `rotten_tomatoes`), `clinc_oos` or `ag_news_subset`; or the path of a file of
        the user, see `text_files.read_table`.
      data_dir: TFDS's folder; None means `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.
      text_column: of a file of the user, see `text_files.read_table`.
      label_column: as text_column.

    Raises:
      Refusal: the data set is not prepared, damaged or of another kind, or a file has a
        wrong line, or columns are given for a data set of TFDS.
    """
    if content.is_path(name) or text_files.is_folder(name):
        return text_files.read_table(name, text_column, label_column)
    for flag, given in (("text_column", text_column), ("label_column", label_column)):
        if given is not None:
            raise Refusal(f"--{flag}={given}: {name} is a data set of TFDS, not a file")
    folder, fingerprint, arrays = records.read_or_decode(
        "text", name, data_dir, _decode_labelled
    )
    parts = {
        split: Part(unpack(split, arrays), arrays[f"{split}_label"])
        for split in _SPLITS
        if f"{split}_label" in arrays
    }
    train, validation, test = _with_three(parts, folder)
    class_names = tuple(unpack("class", arrays))
    plain_name, _ = prepared.parse(name)
    return LabelledTexts(
        plain_name, train, validation, test, class_names, fingerprint, str(folder)
    )


def load_plain(name: str, data_dir: str | Path | None = None) -> PlainText:
    """Loads one long text by name.

    The records of a data set are joined in a mapped file of the cache, so that their
    text may be larger than the memory.

    Args:
      name: a TFDS data set with one Text (`tiny_shakespeare`), whose records are
        joined; or the path of a text file, see `text_files.read_text`.
      data_dir: TFDS's folder; None means `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.

    Raises:
      Refusal: the data set is not prepared, damaged or of another kind, or the file
        cannot be read.
    """
    if content.is_path(name):
        return text_files.read_text(name)
    folder, fingerprint, arrays = records.read_or_decode(
        "plain-text", name, data_dir, _decode_plain, map_or_make
    )
    texts = {split: Utf8(arrays[split]) for split in _SPLITS}
    for split, text in texts.items():
        if not len(text.content):
            raise Refusal(f"{folder}: split {split} is empty; expected text")
    plain_name, _ = prepared.parse(name)
    return PlainText(
        name=plain_name, **texts, fingerprint=fingerprint, origin=str(folder)
    )


def _with_three(parts: dict[str, Part], folder: Path) -> tuple[Part, Part, Part]:
    """Returns train, validation and test, by the rule of `load_labelled`."""
    train, test = parts["train"], parts.get("test")
    validation = parts.get("validation")
    if test is None or (test.labels == -1).all():
        test, validation = validation, None
    if test is None:
        raise Refusal(f"{folder}: no labelled split beside train; expected test")
    if validation is None:
        first = len(train.texts) - min(5_000, max(1, len(train.texts) // 10))
        validation = Part(train.texts[first:], train.labels[first:])
        train = Part(train.texts[:first], train.labels[:first])
    for split, part in zip(_SPLITS, (train, validation, test), strict=True):
        if not part.texts:
            raise Refusal(f"{folder}: split {split} is empty; expected examples")
    return train, validation, test


def _decode_labelled(folder: Path) -> Arrays:
    builder = records.builder(folder)
    fields, class_names = _declared_fields(folder, builder.info.features)
    arrays: Arrays = {}
    for split in [split for split in _SPLITS if split in builder.info.splits]:
        found = list(records.read(builder, split))
        texts = [
            " ".join(records.text(record[name], where) for name in fields.texts)
            for where, record in found
        ]
        labels = np.asarray([record[fields.label] for _, record in found], np.int64)
        if class_names is None:  # the first split is train
            class_names = _class_names(found, labels, fields, folder)
        is_withheld = split == "test" and bool((labels == -1).all())
        if not is_withheld:
            check_labels(labels, len(class_names), f"{folder}, split {split}")
        arrays |= pack(split, texts) | {f"{split}_label": labels.astype(np.int32)}
    return arrays | pack("class", class_names or ())


def _decode_plain(folder: Path) -> Iterator[Member]:
    builder = records.builder(folder)
    features = builder.info.features
    names = _text_features(features)
    if len(names) != 1:
        found = ", ".join(sorted(features))
        raise Refusal(f"{folder}: features {found}; expected one Text")
    if missing := [split for split in _SPLITS if split not in builder.info.splits]:
        raise Refusal(f"{folder}: no split {missing[0]}; expected {', '.join(_SPLITS)}")
    for split in _SPLITS:
        parts = functools.partial(_utf8, builder, split, names[0])
        yield Member(split, (None,), np.uint8, parts)


def _utf8(builder: Any, split: str, name: str) -> Iterator[np.ndarray]:
    for where, record in records.read(builder, split):
        records.text(record[name], where)
        yield np.frombuffer(record[name], np.uint8)


def _text_features(features: Any) -> list[str]:
    import tensorflow_datasets as tfds

    kind = tfds.features.Text
    return sorted(name for name in features if isinstance(features[name], kind))


def _declared_fields(
    folder: Path, features: Any
) -> tuple[_Fields, tuple[str, ...] | None]:
    """Returns the features to read, and the names of the classes if declared."""
    import tensorflow_datasets as tfds

    kind = tfds.features.ClassLabel
    labels = sorted(name for name in features if isinstance(features[name], kind))
    texts, found = _text_features(features), ", ".join(sorted(features))
    fields = _FIELDS.get(folder.parent.name)
    if fields is None:
        if len(texts) != 1 or len(labels) != 1:
            raise Refusal(
                f"{folder}: features {found}; expected one Text and one ClassLabel"
            )
        fields = _Fields((texts[0],), labels[0])
    wanted = {*fields.texts, fields.label, *filter(None, [fields.label_name])}
    if missing := sorted(wanted - set(features)):
        raise Refusal(f"{folder}: features {found}; expected {missing[0]}, too")
    if fields.label not in labels:
        return fields, None
    return fields, tuple(features[fields.label].names)


def _class_names(
    found: list[Any], labels: np.ndarray, fields: _Fields, folder: Path
) -> tuple[str, ...]:
    """Returns the names of the classes, from the records of the train split."""
    if fields.label_name is None or labels.min() < 0:
        raise Refusal(f"{folder}: {fields.label} names no classes")
    names = {
        int(label): records.text(record[fields.label_name], where)
        for label, (where, record) in zip(labels, found, strict=True)
    }
    return tuple(names.get(number, str(number)) for number in range(max(names) + 1))
