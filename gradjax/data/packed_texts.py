"""Arranges several texts in one row, because padding costs as much as text.

All rows have the same length, so a batch of rows has one shape. A row is an example of
its split: the order of the examples, and so the batches, need no other rule.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradjax.data.cache import read_or_make
from gradjax.data.order import order
from gradjax.data.tokens import PAD, TokenizedTexts, Tokens

MOST_PARTS = 16  # texts in a row, because all rows have room for as many labels
_PACK_SEED = 0  # fixed, because every run must train on the same rows
_FORM = 1  # of the cached rows
_SPLITS = ("train", "validation", "test")


class Rows(NamedTuple):
    """The rows of one split; texts that are not there have length 0 and label 0."""

    tokens: np.ndarray  # i32[rows, time], padded with PAD after the last text
    lengths: np.ndarray  # i32[rows, parts], of consecutive texts, in tokens
    labels: np.ndarray  # i32[rows, parts]


class PackedTexts(NamedTuple):
    """The rows of the three splits, with the same time and number of parts."""

    train: Rows
    validation: Rows
    test: Rows


def pack(tokenized: TokenizedTexts) -> PackedTexts:
    """Arranges the texts of each split in rows of the same time; cached."""
    parts = [getattr(tokenized, split) for split in _SPLITS]
    time = tokenized.train.tokens.shape[1]
    groups = [_groups(part.lengths, time) for part in parts]
    num_parts = max(len(group) for of_split in groups for group in of_split)
    rows = (
        _rows(part, of_split, num_parts)
        for part, of_split in zip(parts, groups, strict=True)
    )
    return PackedTexts(*rows)


def assign_rows(lengths: Sequence[int], time: int) -> list[list[int]]:
    """Assigns texts to rows by best fit, in a random but fixed order.

    Each text goes to the row with the least room that is enough for it.

    Args:
      lengths: of the texts, in tokens, each from 1 to time.
      time: the length of a row, in tokens.

    Returns:
      The indices of the texts in each row, at most MOST_PARTS; every text is in exactly
      one row.
    """
    rows: list[list[int]] = []
    has_room: list[list[int]] = [[] for _ in range(time + 1)]  # free tokens -> rows
    positions = np.arange(len(lengths), dtype=np.uint32)
    for text in order(_PACK_SEED, 0, positions, len(lengths)).tolist():
        size = lengths[text]
        free = next((k for k in range(size, time + 1) if has_room[k]), None)
        row = len(rows) if free is None else has_room[free].pop()
        if free is None:
            rows.append([])
        rows[row].append(text)
        left = (time if free is None else free) - size
        if left and len(rows[row]) < MOST_PARTS:
            has_room[left].append(row)
    return rows


def _groups(lengths: np.ndarray, time: int) -> list[list[int]]:
    """Returns the rows of `assign_rows`, from the cache if they are there."""
    content = lengths.astype(np.int64).tobytes()
    said = f"{_FORM} {MOST_PARTS} {time} {hashlib.sha256(content).hexdigest()}"
    key = hashlib.sha256(said.encode()).hexdigest()[:16]

    def make() -> dict[str, np.ndarray]:
        rows = assign_rows(lengths.tolist(), time)
        ends = np.cumsum([len(row) for row in rows])
        return {"texts": np.concatenate(rows).astype(np.int64), "ends": ends}

    found = read_or_make(f"packed-{key}", make)
    return [part.tolist() for part in np.split(found["texts"], found["ends"][:-1])]


def _rows(part: Tokens, groups: list[list[int]], num_parts: int) -> Rows:
    count, time = len(groups), part.tokens.shape[1]
    found = Rows(
        np.full((count, time), PAD, np.int32),
        np.zeros((count, num_parts), np.int32),
        np.zeros((count, num_parts), np.int32),
    )
    for row, group in enumerate(groups):
        texts = [part.tokens[text, : part.lengths[text]] for text in group]
        joined = np.concatenate(texts)
        found.tokens[row, : len(joined)] = joined
        found.lengths[row, : len(group)] = part.lengths[group]
        found.labels[row, : len(group)] = part.labels[group]
    return found
