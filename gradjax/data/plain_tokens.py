"""Converts a long text to tokens, which are characters or parts of words.

The tokens of a split are one array of two bytes each, or of four where there are more
than 65,536 different tokens. They are made piece by piece. Those of a text in a mapped
file, and those of "bpe", are in a mapped file of the cache.

Every token has its number of characters and of bytes, so that a loss per token can be
converted to bits per character and to bits per byte, which do not depend on the
tokenizer.
"""

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjax.data import byte_pairs, mapped, pieces, vocabulary
from gradjax.data.byte_pairs import START
from gradjax.data.cache import map_or_make
from gradjax.data.mapped import Member
from gradjax.data.pieces import Text
from gradjax.data.strings import PlainText, pack, unpack
from gradjax.errors import Refusal

CHARACTERS, BPE = "characters", "bpe"
KINDS = (CHARACTERS, BPE)
SPLITS = ("train", "validation", "test")
_FORM = 1  # of the cached arrays
_COUNTED = 2**20  # tokens at once


class Encoding(NamedTuple):
    """Converts a text to token numbers and back."""

    kind: str  # one of KINDS
    parts: Callable[[Iterable[str]], Iterator[np.ndarray]]  # the tokens of each piece
    decode: Callable[[Sequence[int]], str]
    num_characters: np.ndarray  # f32[num_tokens], of each token
    num_bytes: np.ndarray  # f32[num_tokens], of each token in UTF-8; of START 0
    state: str  # the alphabet, or JSON of the library `tokenizers`

    @property
    def num_tokens(self) -> int:
        """Returns the number of different tokens, with START."""
        return len(self.num_bytes)

    @property
    def dtype(self) -> Any:
        """Returns the type of the tokens: two bytes each, or four if they are many."""
        return np.dtype(np.uint16 if self.num_tokens <= 2**16 else np.uint32)

    def encode(self, text: Text) -> np.ndarray:
        """Returns the tokens of a text: u16 or u32[tokens + 1]; the first is START."""
        return np.concatenate([*self.with_start(text)])

    def with_start(self, text: Text) -> Iterator[np.ndarray]:
        """Yields the tokens of a text in parts; the first token is START."""
        yield np.asarray([START], self.dtype)
        for part in self.parts(pieces.pieces(text)):
            yield part.astype(self.dtype, copy=False)


class Tokens(NamedTuple):
    """The tokens of one split."""

    tokens: np.ndarray  # u16 or u32[tokens + 1]; the first is START
    num_bytes: int  # of the split, in UTF-8
    unknown_bytes: float  # mean number of bytes of a character that is START

    @property
    def num_tokens(self) -> int:
        """Returns the number of tokens without the first one."""
        return len(self.tokens) - 1


class TokenizedText(NamedTuple):
    """A long text as tokens, and their encoding."""

    train: Tokens
    validation: Tokens
    test: Tokens
    encoding: Encoding


def tokenize(
    text: PlainText, kind: str = CHARACTERS, vocab_size: int | None = None
) -> TokenizedText:
    """Converts the splits of a text to tokens of the train split.

    The tokens of "bpe" are cached, with the tokenizer, and so are those of a text that
    is in a mapped file.

    Args:
      text: from `texts.load_plain`.
      kind: "characters": each character of the train split is a token, and all others
        are START; "bpe": see `byte_pairs`.
      vocab_size: the largest number of tokens of "bpe"; None: 4,096.

    Raises:
      Refusal: the kind is unknown, vocab_size is out of range or given for characters,
        or the package `tokenizers` is not installed.
    """
    if kind not in KINDS:
        raise Refusal(f"tokenizer={kind!r}: expected {' or '.join(map(repr, KINDS))}")
    if kind == CHARACTERS and vocab_size is not None:
        reason = "characters are as many tokens as the train split has"
        raise Refusal(f"vocab_size={vocab_size}: {reason}; give tokenizer='bpe', too")
    splits = text.train, text.validation, text.test
    if kind == BPE:
        size = byte_pairs.USUAL if vocab_size is None else vocab_size
        found, encoding = _byte_pairs(splits, size)
    elif all(isinstance(split, str) for split in splits):
        encoding = of_characters(pieces.alphabet(text.train))
        found = [encoding.encode(split) for split in splits]
    else:
        state = functools.partial(pieces.alphabet, text.train)
        found, encoding = _cached(splits, [CHARACTERS], state, of_characters)
    sizes = map(pieces.num_bytes, splits)
    parts = [
        Tokens(tokens, total, _unknown(tokens, total, encoding))
        for tokens, total in zip(found, sizes, strict=True)
    ]
    return TokenizedText(*parts, encoding=encoding)


def of_characters(letters: str) -> Encoding:
    """Makes the encoding whose token i + 1 is character i of an alphabet."""
    numbers = pieces.numbering(letters)

    def parts(found: Iterable[str]) -> Iterator[np.ndarray]:
        for piece in found:
            codes = np.minimum(pieces.code_points(piece), len(numbers) - 1)
            yield numbers[codes]

    def decode(tokens: Sequence[int]) -> str:
        return "".join(letters[token - 1] for token in tokens)

    sizes = [0, *(len(one.encode(errors="replace")) for one in letters)]
    ones = np.ones(len(letters) + 1, np.float32)
    each = np.asarray(sizes, np.float32)
    return Encoding(CHARACTERS, parts, decode, ones, each, letters)


def of_byte_pairs(state: str) -> Encoding:
    """Makes the encoding of a tokenizer that `byte_pairs.train` has trained.

    Raises:
      Refusal: the state is damaged, or the package `tokenizers` is not installed.
    """
    tokenizer = byte_pairs.restored(state)
    contents = byte_pairs.contents(tokenizer)
    parts = functools.partial(byte_pairs.encode, tokenizer)

    def decode(tokens: Sequence[int]) -> str:
        return byte_pairs.text_of(contents, tokens)

    # The first byte of a character in UTF-8 is not 0b10xxxxxx.
    begun = [sum(byte & 0xC0 != 0x80 for byte in part) for part in contents]
    num_characters = np.asarray(begun, np.float32)
    num_bytes = np.asarray([len(part) for part in contents], np.float32)
    return Encoding(BPE, parts, decode, num_characters, num_bytes, state)


def digest(encoding: Encoding) -> str:
    """Returns the sha256 of the state of an encoding."""
    return hashlib.sha256(encoding.state.encode()).hexdigest()


def _byte_pairs(
    splits: tuple[Text, ...], vocab_size: int
) -> tuple[list[np.ndarray], Encoding]:
    version = importlib.metadata.version("tokenizers") if vocabulary.library() else ""
    train = functools.partial(byte_pairs.train, splits[0], vocab_size)
    return _cached(splits, [vocab_size, version], train, of_byte_pairs)


def _cached(
    splits: tuple[Text, ...],
    said: list[Any],
    train: Callable[[], str],
    encoding_of: Callable[[str], Encoding],
) -> tuple[list[np.ndarray], Encoding]:
    """Returns the tokens of the splits, which are mapped from the cache.

    Args:
      splits: the texts.
      said: what decides the encoding beside the texts.
      train: returns the state of the encoding.
      encoding_of: restores the encoding from its state.

    Returns:
      (the tokens of each split, their encoding).
    """
    said = [_FORM, *map(pieces.sha256, splits), *said]
    key = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    def make() -> Iterator[Member]:
        encoding = encoding_of(train())
        for name, values in pack("state", [encoding.state]).items():
            yield mapped.whole(name, values)
        for name, split in zip(SPLITS, splits, strict=True):
            parts = functools.partial(encoding.with_start, split)
            yield Member(name, (None,), encoding.dtype, parts)

    arrays = map_or_make(f"plain-tokens-{key}", make)
    encoding = encoding_of(unpack("state", arrays)[0])
    return [arrays[name] for name in SPLITS], encoding


def _unknown(tokens: np.ndarray, num_bytes: int, encoding: Encoding) -> float:
    """Returns the mean number of bytes of the characters that are START; 0: none."""
    counts = np.zeros(encoding.num_tokens, np.int64)
    for start in range(1, len(tokens), _COUNTED):
        part = tokens[start : start + _COUNTED]
        counts += np.bincount(part, minlength=len(counts))
    known = float(counts @ encoding.num_bytes.astype(np.float64))
    return (num_bytes - known) / max(int(counts[START]), 1)
