"""How translations are laid out as numbers, and what the tokenizer may see."""

import json

import numpy as np
import pytest

from gradjax.data import token_pairs, tokens
from gradjax.data.pair_files import Pairs
from gradjax.data.pairs import Translations
from gradjax.errors import Refusal

ENGLISH = [f"the cat number {k} sat on mat {k % 7}." for k in range(40)]
GERMAN = [f"die Katze Nummer {k} saß auf Matte {k % 7}." for k in range(40)]


def translations(**parts):
    given = {
        "train": Pairs(ENGLISH[:30], GERMAN[:30]),
        "validation": Pairs(ENGLISH[30:34], GERMAN[30:34]),
        "test": Pairs(ENGLISH[34:], GERMAN[34:]),
    } | parts
    digest = json.dumps(given)
    return Translations("toy", "en", "de", **given, fingerprint=digest, origin="here")


def sentences(found, rows, field, part):
    """Every sentence of some rows, as text."""
    values, parts = getattr(rows, field), getattr(rows, part)
    return [
        found.tokenizer.decode(row[place == number])
        for row, place in zip(values, parts, strict=True)
        for number in range(1, place.max() + 1)
    ]


def test_rows_hold_every_pair_once():
    given = translations()
    found = token_pairs.tokenize(given, 200, 40)
    rows = found.train
    assert rows.source.shape[1] <= 40 and rows.labels.shape[1] <= 40
    assert len(rows.source) < 30, "several pairs share a row"
    said = sentences(found, rows, "source", "source_part")
    meant = sentences(found, rows, "labels", "target_part")
    assert set(zip(said, meant, strict=True)) == set(zip(*given.train, strict=True))
    assert len(said) == 30
    is_real = rows.target_part > 0
    assert (is_real.sum(axis=1) == (rows.labels != tokens.PAD).sum(axis=1)).all()
    begins = rows.inputs[is_real] == tokens.BEGIN
    ends = rows.labels[is_real] == tokens.END
    assert begins.sum() == ends.sum() == 30
    np.testing.assert_array_equal(begins[1:], ends[:-1])
    follows = ~begins[1:]
    np.testing.assert_array_equal(
        rows.inputs[is_real][1:][follows], rows.labels[is_real][:-1][follows]
    )
    for part in (found.validation, found.test):
        assert part.source_part.max() == part.target_part.max() == 1
    assert sentences(found, found.test, "labels", "target_part") == GERMAN[34:]
    assert found.num_cut == 0


def test_only_training_is_cut():
    long = " ".join(["word"] * 60)
    given = translations(
        train=Pairs([*ENGLISH[:9], long], [*GERMAN[:9], "ein Wort"]),
        test=Pairs([long, "one"], [long, "eins"]),
    )
    found = token_pairs.tokenize(given, 200, 30)
    assert found.num_cut == 1
    assert found.train.source.shape[1] == 30
    assert sentences(found, found.test, "labels", "target_part") == [long, "eins"]
    assert found.test.source_part.sum(axis=1).tolist()[1] >= 1


def test_no_word_of_the_test_split_teaches_the_tokenizer():
    other = translations(test=Pairs(["zzz zzz zzz"] * 50, ["qqq qqq"] * 50))
    one, two = (token_pairs.tokenize(t, 200, 40) for t in (translations(), other))
    assert one.tokenizer.state == two.tokenizer.state


def test_packing_loses_nothing_and_fills():
    rng = np.random.default_rng(0)
    sizes = [(int(a), int(b)) for a, b in rng.integers(1, 20, (2_000, 2))]
    rows = token_pairs.assign_rows(sizes, 64)
    assert sorted(pair for row in rows for pair in row) == list(range(2_000))
    filled = [[sum(sizes[k][side] for k in row) for row in rows] for side in (0, 1)]
    assert max(map(max, filled)) <= 64
    assert np.mean(filled) > 0.85 * 64


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((200, 1), "max_length=1: expected from 2"),
        ((3, 40), "vocab_size=3: expected from 5"),
    ],
)
def test_sizes_that_cannot_be_are_refused(sizes, expected):
    with pytest.raises(Refusal, match=expected):
        token_pairs.tokenize(translations(), *sizes)
