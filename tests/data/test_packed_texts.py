"""Rows of several texts: every text is in one of them, as it was."""

import numpy as np
import pytest

from gradjax.data import packed_texts, tokens
from gradjax.data.tokens import TokenizedTexts, Tokens


def drawn(seed, count, time=12):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, time + 1, count).astype(np.int32)
    lengths[0] = time
    values = rng.integers(1, 90, (count, time)).astype(np.int32)
    values[np.arange(time) >= lengths[:, None]] = tokens.PAD
    return Tokens(values, lengths, rng.integers(0, 3, count).astype(np.int32))


def examples(rows):
    """The texts of rows, with their labels, sorted."""
    found = []
    for values, lengths, labels in zip(*rows, strict=True):
        ends = np.cumsum(lengths)
        assert (values[ends[-1] :] == tokens.PAD).all()
        for end, length, label in zip(ends, lengths, labels, strict=True):
            assert length or not label
            if length:
                found.append(([int(k) for k in values[end - length : end]], int(label)))
    return sorted(found)


def test_every_text_is_in_one_row():
    parts = [drawn(0, 400), drawn(1, 7), drawn(2, 1)]
    given = TokenizedTexts(*parts, tokenizer=None, num_cut=0)
    for _ in range(2):  # made, and read from the cache
        packed = packed_texts.pack(given)
        for part, rows in zip(parts, packed, strict=True):
            alone = part.lengths[:, None], part.labels[:, None]
            assert examples(rows) == examples((part.tokens, *alone))
            assert rows.tokens.shape[1] == 12
            assert rows.lengths.shape == rows.labels.shape
            assert rows.lengths.shape[1] == packed.train.lengths.shape[1]
            assert rows.lengths[:, 0].min() > 0, "no row is empty"
    before = tokens.padding(parts[0].lengths, parts[0].tokens.size)
    after = tokens.padding(packed.train.lengths, packed.train.tokens.size)
    assert before > 0.3 and after < 0.05


def test_rows_are_filled_by_best_fit():
    rows = packed_texts.assign_rows([5, 5, 5, 5], 10)
    assert sorted(map(len, rows)) == [2, 2]
    rows = packed_texts.assign_rows([10, 1, 9], 10)
    assert sorted(map(sorted, rows)) == [[0], [1, 2]]
    rows = packed_texts.assign_rows([1] * 40, 100)
    assert sorted(map(len, rows)) == [8, 16, 16], "no row has more texts"


def test_padding_is_the_share_that_is_no_text():
    assert tokens.padding(np.asarray([3, 1]), 8) == pytest.approx(0.5)
