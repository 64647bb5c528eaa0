"""Converts translations to rows of tokens, with one tokenizer for both languages.

Sentences differ in length, and a padding token costs as much as a real one. A row of
the train split therefore contains several pairs one after another, as many as fit. Each
position has the number of its pair, and attention is restricted to that pair. A row of
the other splits contains one pair.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradjax.data import tokens, vocabulary
from gradjax.data.cache import Arrays, read_or_make
from gradjax.data.order import order
from gradjax.data.pairs import SPLITS, Translations
from gradjax.data.strings import pack, unpack
from gradjax.data.tokens import BEGIN, END, PAD, UNKNOWN, Tokenizer
from gradjax.errors import Refusal

_OPEN = 64  # rows open for more pairs; more pack slightly better, but take longer
_PACK_SEED = 0  # fixed, because every run must train on the same rows

Sequences = Sequence[Sequence[int]]


class Rows(NamedTuple):
    """The rows of one split. A row has pair 1, then pair 2, ..., then padding."""

    source: np.ndarray  # i32[rows, source time]
    source_part: np.ndarray  # i32[rows, source time]: number of the pair; 0: padding
    inputs: np.ndarray  # i32[rows, time]: BEGIN, then the target
    labels: np.ndarray  # i32[rows, time]: the target, then END
    target_part: np.ndarray  # i32[rows, time]: number of the pair; 0: padding


class TokenizedPairs(NamedTuple):
    """Translations as rows of tokens, and their tokenizer."""

    train: Rows
    validation: Rows
    test: Rows
    tokenizer: Tokenizer
    num_cut: int  # pairs of the train split with a sentence longer than max_length


def tokenize(
    translations: Translations, vocab_size: int | None, max_length: int
) -> TokenizedPairs:
    """Converts all splits to rows with a tokenizer of the train split; cached.

    The tokenizer is a byte-pair encoding with one vocabulary for both languages, and
    keeps case and accents. In the train split a sentence longer than `max_length` is
    truncated, and a truncated target has no END; the other splits are not truncated.

    Args:
      translations: from `pairs.load`.
      vocab_size: the largest number of tokens; None: 4,000, or as
        `tokens.train_usual` says.
      max_length: length of a row of the train split in each language, in tokens.

    Raises:
      Refusal: vocab_size or max_length is out of range, or the package `tokenizers` is
        not installed.
    """
    if not 2 <= max_length <= 2**14:
        raise Refusal(f"max_length={max_length}: expected from 2 to {2**14}")
    if vocab_size is not None:
        tokens.check_vocab_size(vocab_size)
    version = importlib.metadata.version("tokenizers") if vocabulary.library() else ""
    said = [translations.fingerprint, vocab_size, max_length, version]
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
    arrays = read_or_make(
        f"token-pairs-{digest}", lambda: _make(translations, vocab_size, max_length)
    )
    parts = {
        split: Rows(*(arrays[f"{split}_{field}"] for field in Rows._fields))
        for split in SPLITS
    }
    tokenizer = tokens.from_state(unpack("state", arrays)[0])
    return TokenizedPairs(**parts, tokenizer=tokenizer, num_cut=int(arrays["num_cut"]))


def rows_of(
    sources: Sequences, targets: Sequences, groups: Sequence[Sequence[int]]
) -> Rows:
    """Arranges pairs in rows.

    Args:
      sources: token numbers of each source, none empty.
      targets: token numbers of each target, with END.
      groups: the indices of the pairs in each row, in order.
    """
    time = max(sum(len(sources[k]) for k in group) for group in groups)
    said = max(sum(len(targets[k]) for k in group) for group in groups)
    shapes = (time, time, said, said, said)
    found = Rows(*(np.full((len(groups), size), PAD, np.int32) for size in shapes))
    for row, group in enumerate(groups):
        start = begun = 0
        for part, pair in enumerate(group, 1):
            source, target = sources[pair], targets[pair]
            there = slice(start, start + len(source))
            here = slice(begun, begun + len(target))
            found.source[row, there], found.source_part[row, there] = source, part
            found.inputs[row, here] = [BEGIN, *target[:-1]]
            found.labels[row, here], found.target_part[row, here] = target, part
            start, begun = there.stop, here.stop
    return found


def padding(rows: Rows) -> float:
    """Returns the share of padding in the sources and the targets of rows."""
    parts = rows.source_part, rows.target_part
    is_real = np.concatenate([part.reshape(-1) > 0 for part in parts])
    return tokens.padding(is_real, is_real.size)


def assign_rows(sizes: Sequence[tuple[int, int]], most: int) -> list[list[int]]:
    """Assigns pairs to rows by best fit, in a random but fixed order.

    Args:
      sizes: the lengths of each pair's source and target, in tokens.
      most: the length of a row in each language, in tokens.

    Returns:
      The indices of the pairs in each row; every pair is in exactly one row.
    """
    positions = np.arange(len(sizes), dtype=np.uint32)
    rows: list[list[int]] = []
    is_open: list[tuple[int, int, int]] = []  # free source and target tokens, the row
    for pair in order(_PACK_SEED, 0, positions, len(sizes)).tolist():
        source, target = sizes[pair]
        fits = [one for one in is_open if one[0] >= source and one[1] >= target]
        left = min(fits, key=lambda one: one[0] + one[1], default=(most, most, -1))
        if left[2] < 0:
            left = (most, most, len(rows))
            rows.append([])
        else:
            is_open.remove(left)
        rows[left[2]].append(pair)
        is_open.append((left[0] - source, left[1] - target, left[2]))
        if len(is_open) > _OPEN:
            is_open.remove(min(is_open, key=lambda one: min(one[:2])))
    return rows


def _make(
    translations: Translations, vocab_size: int | None, max_length: int
) -> Arrays:
    train = translations.train
    said = [*train.sources, *train.targets]
    if vocab_size is None:
        usual = tokens.USUAL_PAIRS
        tokenizer = tokens.train_usual(said, "bpe", usual, is_lowered=False)
    else:
        tokenizer = tokens.train(said, "bpe", vocab_size, is_lowered=False)
    arrays = pack("state", [tokenizer.state])
    for split in SPLITS:
        pairs = getattr(translations, split)
        sources = [one or [UNKNOWN] for one in tokenizer.encode(pairs.sources)]
        targets = [[*one, END] for one in tokenizer.encode(pairs.targets)]
        groups = [[row] for row in range(len(sources))]
        if split == "train":
            sizes = [(len(s), len(t)) for s, t in zip(sources, targets, strict=True)]
            arrays["num_cut"] = np.asarray(sum(max(two) > max_length for two in sizes))
            sources = [one[:max_length] for one in sources]
            targets = [one[:max_length] for one in targets]
            sizes = [(len(s), len(t)) for s, t in zip(sources, targets, strict=True)]
            groups = assign_rows(sizes, max_length)
        found = rows_of(sources, targets, groups)
        arrays |= {f"{split}_{field}": part for field, part in found._asdict().items()}
    return arrays
