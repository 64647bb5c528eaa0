"""Translations as numbers: one tokenizer for both languages, and rows of pairs.

Sentences differ in length, and what pads them costs as much as they do. So a row of the
train split holds several pairs, one behind the other, as many as fit; each place knows
of which pair it is, and sees no other. A row of another split is one pair.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradjax.data import tokens
from gradjax.data.cache import Arrays, cached
from gradjax.data.order import order
from gradjax.data.pairs import SPLITS, Translations
from gradjax.data.strings import pack, unpack
from gradjax.data.tokens import BEGIN, END, PAD, UNKNOWN, Tokenizer
from gradjax.errors import Refusal

_OPEN = 64  # rows that still take pairs; more fill a little better and take longer
_PACK_SEED = 0  # never the user's seed: every run learns from the same rows

Sequences = Sequence[Sequence[int]]


class Rows(NamedTuple):
    """One split. In a row pair 1 comes first, then pair 2, ..., then padding."""

    source: np.ndarray  # i32[rows, source time]
    source_part: np.ndarray  # i32[rows, source time]: of which pair; 0: padding
    inputs: np.ndarray  # i32[rows, time]: BEGIN, then the target
    labels: np.ndarray  # i32[rows, time]: the target, then END
    target_part: np.ndarray  # i32[rows, time], as source_part


class TokenizedPairs(NamedTuple):
    """Translations as rows, and the tokenizer that made them."""

    train: Rows
    validation: Rows
    test: Rows
    tokenizer: Tokenizer
    num_cut: int  # pairs of the train split with a sentence over max_length


def tokenized(
    translations: Translations, vocab_size: int, max_length: int
) -> TokenizedPairs:
    """All splits as rows, by a tokenizer of the train split alone; kept.

    Byte-pair encoding, case and accents kept, one vocabulary for both languages. In the
    train split a longer sentence is cut at `max_length`, and a target that is cut has
    no END; the other splits are whole.

    Args:
      translations: from `pairs.load`.
      vocab_size: tokens at most.
      max_length: places of a row of the train split, in each language.

    Raises:
      Refusal: a vocab_size that cannot be, a max_length below 2, or no `tokenizers`.
    """
    if not 2 <= max_length <= 2**14:
        raise Refusal(f"max_length={max_length}: expected from 2 to {2**14}")
    tokens.check_vocab_size(vocab_size)
    version = importlib.metadata.version("tokenizers") if tokens.library() else ""
    said = [translations.fingerprint, vocab_size, max_length, version]
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
    arrays = cached(
        f"token-pairs-{digest}", lambda: _made(translations, vocab_size, max_length)
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
    """Pairs laid out in rows.

    Args:
      sources: token numbers of each source, none empty.
      targets: of each target, END included.
      groups: which pairs are in each row, in order.
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


def packed(sizes: Sequence[tuple[int, int]], most: int) -> list[list[int]]:
    """Which pairs share a row: in a drawn order, each where it fills a row best.

    Args:
      sizes: places of each pair's source and target.
      most: places of a row, in each language.

    Returns:
      The pairs of each row; every pair is in one.
    """
    positions = np.arange(len(sizes), dtype=np.uint32)
    rows: list[list[int]] = []
    is_open: list[tuple[int, int, int]] = []  # places left of both, and which row
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


def _made(translations: Translations, vocab_size: int, max_length: int) -> Arrays:
    train = translations.train
    tokenizer = tokens.train(
        [*train.sources, *train.targets], "bpe", vocab_size, is_lowered=False
    )
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
            groups = packed(sizes, max_length)
        found = rows_of(sources, targets, groups)
        arrays |= {f"{split}_{field}": part for field, part in found._asdict().items()}
    return arrays
