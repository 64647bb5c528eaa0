"""Texts by name: prepared by TFDS, or a file of one's own.

Read without TensorFlow and without a network, checked and kept as arrays, as
`gradjax.data.tfds` does with images.

Out of scope: `clinc_oos` keeps requests that belong to none of its 150 intents in
splits of their own (train_oos, validation_oos, test_oos). They are not read: accuracy
is that of the in-scope problem.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.data import prepared, records, text_files
from gradjax.data.arrays import check_labels
from gradjax.data.cache import Arrays
from gradjax.data.strings import LabelledTexts, Part, PlainText, pack, unpack
from gradjax.errors import Refusal

_SPLITS = ("train", "validation", "test")


class _Fields(NamedTuple):
    """Which features hold the text (joined by a space), the label and its name."""

    texts: tuple[str, ...]
    label: str
    label_name: str | None = None


# Of data sets whose features do not say it themselves: several texts, or a label that
# is a bare number.
_FIELDS = {
    "ag_news_subset": _Fields(("title", "description"), "label"),
    "clinc_oos": _Fields(("text",), "intent", "intent_name"),
}


def load_labelled(name: str, data_dir: str | Path | None = None) -> LabelledTexts:
    """Texts with a class each.

    The test split is the data set's own. Where its labels are withheld (-1, as in
    `glue`) or there is none, the validation split is tested on, and the last tenth of
    the train split (5,000 at most) becomes the validation split; the same happens where
    there is no validation split.

    Args:
      name: a TFDS name with a Text and a ClassLabel (`imdb_reviews`, `glue/sst2`,
        `rotten_tomatoes`), `clinc_oos` or `ag_news_subset`; or the path of a file of
        one's own, see `text_files.read_table`.
      data_dir: TFDS's folder; None means `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.

    Raises:
      Refusal: not prepared, not such a data set, damaged, or bad lines in a file.
    """
    if text_files.is_path(name) or os.path.isfile(Path(name, "train.tsv")):
        return text_files.read_table(name)
    folder, fingerprint, arrays = records.kept("text", name, data_dir, _decode_labelled)
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
    """One long text.

    Args:
      name: a TFDS name with one Text (`tiny_shakespeare`), its records joined; or the
        path of a text file, see `text_files.read_text`.
      data_dir: as above.

    Raises:
      Refusal: as above.
    """
    if text_files.is_path(name):
        return text_files.read_text(name)
    folder, fingerprint, arrays = records.kept("text", name, data_dir, _decode_plain)
    texts = {split: "".join(unpack(split, arrays)) for split in _SPLITS}
    for split, text in texts.items():
        if not text:
            raise Refusal(f"{folder}: split {split} is empty; expected text")
    plain_name, _ = prepared.parse(name)
    return PlainText(
        name=plain_name, **texts, fingerprint=fingerprint, origin=str(folder)
    )


def _with_three(parts: dict[str, Part], folder: Path) -> tuple[Part, Part, Part]:
    """Train, validation and test, whatever of them the data set has."""
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
    fields, class_names = _declared(folder, builder.info.features)
    arrays: Arrays = {}
    for split in [split for split in _SPLITS if split in builder.info.splits]:
        found = records.read(builder, split)
        texts = [
            " ".join(records.text(record[name], where) for name in fields.texts)
            for where, record in found
        ]
        labels = np.asarray([record[fields.label] for _, record in found], np.int64)
        if class_names is None:  # train comes first
            class_names = _named(found, labels, fields, folder)
        is_withheld = split == "test" and bool((labels == -1).all())
        if not is_withheld:
            check_labels(labels, len(class_names), f"{folder}, split {split}")
        arrays |= pack(split, texts) | {f"{split}_label": labels.astype(np.int32)}
    return arrays | pack("class", class_names or ())


def _decode_plain(folder: Path) -> Arrays:
    builder = records.builder(folder)
    features = builder.info.features
    names = _text_features(features)
    if len(names) != 1:
        found = ", ".join(sorted(features))
        raise Refusal(f"{folder}: features {found}; expected one Text")
    if missing := [split for split in _SPLITS if split not in builder.info.splits]:
        raise Refusal(f"{folder}: no split {missing[0]}; expected {', '.join(_SPLITS)}")
    arrays: Arrays = {}
    for split in _SPLITS:
        texts = [
            records.text(record[names[0]], where)
            for where, record in records.read(builder, split)
        ]
        arrays |= pack(split, texts)
    return arrays


def _text_features(features: Any) -> list[str]:
    import tensorflow_datasets as tfds

    kind = tfds.features.Text
    return sorted(name for name in features if isinstance(features[name], kind))


def _declared(folder: Path, features: Any) -> tuple[_Fields, tuple[str, ...] | None]:
    """Which features to read, and the classes' names where the label declares them."""
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


def _named(
    found: list[Any], labels: np.ndarray, fields: _Fields, folder: Path
) -> tuple[str, ...]:
    """The classes' names, as the records of the train split give them."""
    if fields.label_name is None or labels.min() < 0:
        raise Refusal(f"{folder}: {fields.label} names no classes")
    names = {
        int(label): records.text(record[fields.label_name], where)
        for label, (where, record) in zip(labels, found, strict=True)
    }
    return tuple(names.get(number, str(number)) for number in range(max(names) + 1))
