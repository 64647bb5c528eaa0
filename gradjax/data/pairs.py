"""Loads sentences with their translations, prepared by TFDS or from the user's files.

Data sets of TFDS are read without TensorFlow and without a network connection. They are
checked and cached as arrays.
"""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.data import pair_files, pair_rows, prepared, records
from gradjax.data.cache import Arrays
from gradjax.data.order import order
from gradjax.data.pair_files import Pairs
from gradjax.data.strings import pack, unpack
from gradjax.errors import Refusal

SPLITS = ("train", "validation", "test")
_SPLIT_SEED = 0  # fixed, because every run must be evaluated on the same examples
_MOST_HELD_OUT = 5_000
_TATOEBA = (
    "source_language",
    "source_sentence",
    "target_language",
    "target_sentence",
)


class Translations(NamedTuple):
    """Pairs of sentences with a fixed split."""

    name: str  # the TFDS name, or that of the files
    source: str  # the source language
    target: str  # the target language
    train: Pairs
    validation: Pairs
    test: Pairs
    fingerprint: str  # sha256 of the source, and the direction
    origin: str  # one readable line: the folder or the file
    understood: str = ""  # one line: what was understood of a file of rows


def load(
    name: str,
    source: str | None = None,
    target: str | None = None,
    test: str | None = None,
    data_dir: str | Path | None = None,
) -> Translations:
    """Loads pairs of sentences by name.

    For each of the test split and the validation split that does not exist, a tenth of
    the training sentences (5,000 at most) is held out. All translations of one sentence
    stay in the same split.

    Args:
      name: a TFDS data set with a Translation (`ted_hrlr_translate/pt_to_en`) or in the
        format of Tatoeba (`tatoeba/tatoeba_de`); or the path of the user's files, see
        `pair_files.read` (aligned files) and `pair_rows.read` (a pair in each row).
      source: the source language; None: that of the data set.
      target: the target language; None: that of the data set.
      test: the test split of the user's files, see `pair_files.read`.
      data_dir: TFDS's folder; None means `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.

    Raises:
      Refusal: the data set is not prepared, damaged or of another kind, or a file has a
        wrong line.
    """
    understood = ""
    if pair_rows.is_rows(name) or pair_files.is_path(name):
        if pair_rows.is_rows(name):
            if test is not None:
                raise Refusal(f"--test={test}: {name} is no folder with a test split")
            found = pair_rows.read(name, source, target)
        else:
            found = pair_files.read(name, source, target, test)
        languages, parts, fingerprint, understood = found
        path = Path(os.path.expanduser(name))
        plain_name, origin = path.absolute().name, str(Path(name))
    else:
        if test is not None:
            raise Refusal(
                f"--test={test}: {name} is a TFDS data set with its own test split"
            )
        folder, fingerprint, arrays = records.read_or_decode(
            "pairs", name, data_dir, _decode
        )
        plain_name, origin = prepared.parse(name)[0], str(folder)
        there = tuple(unpack("languages", arrays))
        is_ordered = bool(arrays["is_ordered"])
        languages = pair_files.direction(there, source, target, is_ordered)
        parts = {
            split: Pairs(*(unpack(f"{split}_{one}", arrays) for one in languages))
            for split in SPLITS
            if f"{split}_{there[0]}_end" in arrays
        }
    return Translations(
        plain_name,
        *languages,
        *_three(parts, origin),
        f"{fingerprint} {languages[0]} {languages[1]}",
        origin,
        understood,
    )


def _three(parts: dict[str, Pairs], origin: str) -> tuple[Pairs, Pairs, Pairs]:
    """Returns train, validation and test; missing splits are held out of train."""
    train, held = parts["train"], dict(parts)
    for number, split in enumerate(("test", "validation")):
        if split not in parts:
            train, held[split] = _held_out(train, _SPLIT_SEED + number, origin)
    return train, held["validation"], held["test"]


def _held_out(pairs: Pairs, seed: int, origin: str) -> tuple[Pairs, Pairs]:
    """Splits off a tenth; all pairs of one source sentence stay together.

    Returns:
      (the remaining pairs, the held-out pairs).
    """
    known = list(dict.fromkeys(pairs.sources))
    count = min(_MOST_HELD_OUT, max(1, len(known) // 10))
    if len(known) < 2:
        raise Refusal(f"{origin}: {len(known)} sentence to train on; expected more")
    places = order(seed, 0, np.arange(count, dtype=np.uint32), len(known))
    chosen = {known[place] for place in places}
    rest, held = Pairs([], []), Pairs([], [])
    for said, meant in zip(*pairs, strict=True):
        part = held if said in chosen else rest
        part.sources.append(said)
        part.targets.append(meant)
    return rest, held


def _decode(folder: Path) -> Arrays:
    builder = records.builder(folder)
    arrays: Arrays = {}
    languages: tuple[str, ...] = ()
    for split in [split for split in SPLITS if split in builder.info.splits]:
        found = list(records.read(builder, split))
        if not languages:  # train comes first
            languages, is_ordered = _languages(folder, builder.info.features, found)
            arrays["is_ordered"] = np.asarray(is_ordered)
            arrays |= pack("languages", languages)
        keys = _keys(folder, builder.info.features, languages, found)
        for language, key in zip(languages, keys, strict=True):
            said = [records.text(record[key], where) for where, record in found]
            arrays |= pack(f"{split}_{language}", said)
    return arrays


def _languages(
    folder: Path, features: Any, found: list[tuple[str, Any]]
) -> tuple[tuple[str, ...], bool]:
    """Returns the languages, and whether they are (source, target) in this order."""
    import tensorflow_datasets as tfds

    if set(features) == set(_TATOEBA):
        where, first = found[0]
        pair = (records.text(first[key], where) for key in _TATOEBA[::2])
        return tuple(pair), True
    if not isinstance(features, tfds.features.Translation):
        listed = ", ".join(sorted(features))
        raise Refusal(f"{folder}: features {listed}; expected a Translation")
    languages = tuple(sorted(features))
    named = tuple(re.split(r"_to_|-", folder.parent.name))
    is_named = sorted(named) == sorted(languages)
    return (named, True) if is_named else (languages, False)


def _keys(
    folder: Path,
    features: Any,
    languages: tuple[str, ...],
    found: list[tuple[str, Any]],
) -> tuple[str, ...]:
    """Returns the names of the features that hold the sentences, one per language."""
    if set(features) != set(_TATOEBA):
        return languages
    for where, record in found:
        pair = tuple(records.text(record[key], where) for key in _TATOEBA[::2])
        if pair != languages:
            expected = f"expected {' to '.join(languages)} in all of {folder}"
            raise Refusal(f"{where}: from {' to '.join(pair)}; {expected}")
    return _TATOEBA[1::2]
