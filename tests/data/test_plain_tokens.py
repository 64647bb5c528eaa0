"""Tokens of a long text: every text round-trips, and the same text gives the same."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradjax.data import byte_pairs, pieces, plain_tokens
from gradjax.data.pieces import Utf8
from gradjax.data.strings import PlainText
from gradjax.errors import Refusal

STORY = "the cat sat on the mat. a dog sat on a log!\n" * 40
ODD = "\x00\r\n\t [start] \u00e9\u6f22\U0001f642 a   b\n\n\n  c" + "-" * 300


@pytest.fixture(scope="module")
def encoding():
    return plain_tokens.of_byte_pairs(byte_pairs.train(STORY, 300))


def text(train=STORY, validation="the dog sat", test=ODD):
    return PlainText("story", train, validation, test, "a fingerprint", "here")


@given(st.text())
def test_every_text_round_trips(encoding, said):
    try:
        said.encode()
    except UnicodeEncodeError:
        with pytest.raises(Refusal, match="cannot be written in UTF-8"):
            encoding.encode(said)
        return
    found = encoding.encode(said)
    assert found[0] == byte_pairs.START and (found[1:] > 0).all()
    assert encoding.decode(found[1:].tolist()) == said
    assert encoding.num_bytes[found].sum() == len(said.encode())
    assert encoding.num_characters[found].sum() == len(said)


def test_frequent_words_are_single_tokens(encoding):
    assert encoding.num_tokens <= 300
    assert len(encoding.encode(" sat on the")) == 4
    assert encoding.encode(" sat")[1] != encoding.encode("sat")[1]


def test_half_of_a_surrogate_pair_is_refused(encoding):
    with pytest.raises(Refusal, match="cannot be written in UTF-8"):
        encoding.encode("a\ud800")


def utf8(said):
    return Utf8(np.frombuffer(said.encode(), np.uint8))


@pytest.mark.parametrize("form", [str, utf8])
def test_a_text_is_cut_at_the_end_of_lines(form):
    said = "ab\n" * 5 + "c" * 40 + "\nd"
    found = list(pieces.pieces(form(said), 4))
    assert "".join(found) == said
    assert found[:2] == ["ab\nab\n", "ab\nab\n"]
    assert max(map(len, found)) == 16, "a long line is cut"
    assert list(pieces.pieces(form(""))) == []


@given(st.text(st.characters(codec="utf-8")), st.integers(1, 20), st.integers(1, 20))
def test_the_bytes_of_a_text_have_the_pieces_of_the_text(said, size, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "_BLOCK", block)
        found = list(pieces.pieces(utf8(said), size))
        counts = pieces.num_characters(utf8(said)), pieces.sha256(utf8(said))
    assert found == list(pieces.pieces(said, size))
    assert "".join(found) == said == str(utf8(said))
    assert counts == (len(said), pieces.sha256(said))
    assert pieces.num_bytes(said) == pieces.num_bytes(utf8(said)) == len(said.encode())
    assert pieces.alphabet(utf8(said)) == "".join(sorted(set(said)))


@pytest.mark.parametrize("kind", plain_tokens.KINDS)
def test_a_mapped_text_has_the_tokens_of_the_text(kind, tmp_path, monkeypatch):
    size = 300 if kind == "bpe" else None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    in_memory = text()
    mapped = in_memory._replace(
        **{split: utf8(getattr(in_memory, split)) for split in plain_tokens.SPLITS}
    )
    expected = plain_tokens.tokenize(in_memory, kind, size)
    found = plain_tokens.tokenize(mapped, kind, size)
    for split in plain_tokens.SPLITS:
        own, other = getattr(found, split), getattr(expected, split)
        assert isinstance(own.tokens, np.memmap)
        assert own.tokens.dtype == other.tokens.dtype
        np.testing.assert_array_equal(own.tokens, other.tokens)
        assert own[1:] == other[1:]
    assert plain_tokens.digest(found.encoding) == plain_tokens.digest(expected.encoding)


@pytest.mark.slow
def test_another_process_trains_the_same_tokenizer():
    code = (
        f"from gradjax.data import byte_pairs; print(byte_pairs.train({STORY!r}, 300))"
    )
    done = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        for _ in range(2)
    ]
    for one in done:
        assert one.stdout == byte_pairs.train(STORY, 300) + "\n", one.stderr


@pytest.mark.parametrize("kind", plain_tokens.KINDS)
def test_the_bytes_of_every_split_are_counted(kind):
    size = 300 if kind == "bpe" else None
    given = text()
    found = plain_tokens.tokenize(given, kind, size)
    again = plain_tokens.tokenize(given, kind, size)
    for split in plain_tokens.SPLITS:
        part, said = getattr(found, split), getattr(given, split)
        assert part.tokens.dtype == np.uint16
        np.testing.assert_array_equal(part.tokens, getattr(again, split).tokens)
        tokens = part.tokens[1:]
        sizes = np.where(tokens, found.encoding.num_bytes[tokens], part.unknown_bytes)
        assert sizes.sum() == pytest.approx(len(said.encode()), rel=1e-6)
        assert found.encoding.num_characters[tokens].sum() == len(said)
        if kind == "bpe":
            assert found.encoding.decode(tokens.tolist()) == said
    assert found.train.unknown_bytes == 0
    assert plain_tokens.digest(found.encoding) == plain_tokens.digest(again.encoding)


def test_another_text_has_other_tokens_in_the_cache():
    first = plain_tokens.tokenize(text(), "bpe", 300)
    other = plain_tokens.tokenize(text(train=STORY[:400]), "bpe", 300)
    assert plain_tokens.digest(first.encoding) != plain_tokens.digest(other.encoding)


@pytest.mark.parametrize("kind", plain_tokens.KINDS)
def test_counts_do_not_depend_on_how_many_tokens_are_counted_at_once(kind, monkeypatch):
    size = 300 if kind == "bpe" else None
    expected = plain_tokens.tokenize(text(), kind, size)
    monkeypatch.setattr(plain_tokens, "_COUNTED", 7)
    found = plain_tokens.tokenize(text(), kind, size)
    assert found.test.unknown_bytes == expected.test.unknown_bytes
    if kind == plain_tokens.CHARACTERS:
        assert found.test.unknown_bytes > 1


def test_a_character_behind_the_alphabet_is_the_start():
    found = plain_tokens.of_characters("ab").encode("a\u00e9b\U0010ffff")
    assert found.tolist() == [0, 1, 0, 2, 0]
    assert plain_tokens.of_characters("").encode("a").tolist() == [0, 0]


def test_many_characters_take_four_bytes_each():
    letters = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x12000)]))
    found = plain_tokens.of_characters(letters).encode("a\U00011fff")
    assert found.dtype == np.uint32 and found.tolist() == [0, 98, 71_680]


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        ("word", None, "tokenizer='word': expected 'characters' or 'bpe'"),
        ("characters", 300, "vocab_size=300: characters are as many tokens as"),
        ("bpe", 256, "vocab_size=256: expected from 257, which are the 256 bytes"),
        ("bpe", 0, "vocab_size=0: expected from 257"),
        ("bpe", 2**21, "vocab_size=2097152: expected from 257"),
    ],
)
def test_wrong_arguments_are_refused(kind, size, expected):
    with pytest.raises(Refusal, match=expected):
        plain_tokens.tokenize(text(), kind, size)


def test_what_is_no_tokenizer_of_bytes_is_refused(encoding):
    with pytest.raises(Refusal, match="a damaged tokenizer"):
        plain_tokens.of_byte_pairs(encoding.state[:-9])
    foreign = encoding.state.replace("\u0120", "\u6f22")  # the sign of the space
    with pytest.raises(Refusal, match="a tokenizer that is not one of bytes"):
        plain_tokens.of_byte_pairs(foreign)
