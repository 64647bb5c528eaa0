"""Converts a long text to tokens, which are characters or parts of words.

The tokens of a split are one array of two bytes each, or of four where there are more
than 65,536 different tokens. Every token has its number of characters and of bytes, so
that a loss per token can be converted to bits per character and to bits per byte, which
do not depend on the tokenizer.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from gradjax.data import byte_pairs, mapped, vocabulary
from gradjax.data.byte_pairs import START
from gradjax.data.cache import map_or_make
from gradjax.data.mapped import Member
from gradjax.data.strings import PlainText, pack, unpack
from gradjax.errors import Refusal

CHARACTERS, BPE = "characters", "bpe"
KINDS = (CHARACTERS, BPE)
SPLITS = ("train", "validation", "test")
_FORM = 1  # of the cached arrays


class Encoding(NamedTuple):
    """Converts a text to token numbers and back."""

    kind: str  # one of KINDS
    encode: Callable[[str], np.ndarray]  # u16 or u32[tokens + 1]; the first is START
    decode: Callable[[Sequence[int]], str]
    num_characters: np.ndarray  # f32[num_tokens], of each token
    num_bytes: np.ndarray  # f32[num_tokens], of each token in UTF-8; of START 0
    state: str  # the alphabet, or JSON of the library `tokenizers`

    @property
    def num_tokens(self) -> int:
        """Returns the number of different tokens, with START."""
        return len(self.num_bytes)


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

    The tokens of "bpe" are cached, with the tokenizer.

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
    else:
        encoding = of_characters("".join(sorted(set(text.train))))
        found = [encoding.encode(split) for split in splits]
    parts = [
        Tokens(tokens, total := len(split.encode()), _unknown(tokens, total, encoding))
        for tokens, split in zip(found, splits, strict=True)
    ]
    return TokenizedText(*parts, encoding=encoding)


def of_characters(letters: str) -> Encoding:
    """Makes the encoding whose token i + 1 is character i of an alphabet."""
    numbers = {letter: number for number, letter in enumerate(letters, 1)}
    form = _type(len(letters) + 1)

    def encode(text: str) -> np.ndarray:
        return np.asarray([START, *(numbers.get(one, START) for one in text)], form)

    def decode(tokens: Sequence[int]) -> str:
        return "".join(letters[token - 1] for token in tokens)

    sizes = [0, *(len(one.encode(errors="replace")) for one in letters)]
    ones = np.ones(len(letters) + 1, np.float32)
    each = np.asarray(sizes, np.float32)
    return Encoding(CHARACTERS, encode, decode, ones, each, letters)


def of_byte_pairs(state: str) -> Encoding:
    """Makes the encoding of a tokenizer that `byte_pairs.train` has trained.

    Raises:
      Refusal: the state is damaged, or the package `tokenizers` is not installed.
    """
    tokenizer = byte_pairs.restored(state)
    parts = byte_pairs.contents(tokenizer)
    form = _type(len(parts))

    def encode(text: str) -> np.ndarray:
        return np.pad(byte_pairs.encode(tokenizer, text).astype(form), (1, 0))

    def decode(tokens: Sequence[int]) -> str:
        return byte_pairs.text_of(parts, tokens)

    # The first byte of a character in UTF-8 is not 0b10xxxxxx.
    begun = [sum(byte & 0xC0 != 0x80 for byte in part) for part in parts]
    num_characters = np.asarray(begun, np.float32)
    num_bytes = np.asarray([len(part) for part in parts], np.float32)
    return Encoding(BPE, encode, decode, num_characters, num_bytes, state)


def digest(encoding: Encoding) -> str:
    """Returns the sha256 of the state of an encoding."""
    return hashlib.sha256(encoding.state.encode()).hexdigest()


def _byte_pairs(
    splits: tuple[str, ...], vocab_size: int
) -> tuple[list[np.ndarray], Encoding]:
    """Returns the tokens of the splits, cached, and their encoding."""
    version = importlib.metadata.version("tokenizers") if vocabulary.library() else ""
    texts = [hashlib.sha256(split.encode()).hexdigest() for split in splits]
    said = [_FORM, *texts, vocab_size, version]
    key = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    def make() -> Iterator[Member]:
        state = byte_pairs.train(splits[0], vocab_size)
        encode = of_byte_pairs(state).encode
        for name, values in pack("state", [state]).items():
            yield mapped.whole(name, values)
        for name, split in zip(SPLITS, splits, strict=True):
            yield mapped.whole(name, encode(split))

    arrays = map_or_make(f"plain-tokens-{key}", make)
    encoding = of_byte_pairs(unpack("state", arrays)[0])
    return [arrays[name] for name in SPLITS], encoding


def _unknown(tokens: np.ndarray, num_bytes: int, encoding: Encoding) -> float:
    """Returns the mean number of bytes of the characters that are START; 0: none."""
    counts = np.bincount(tokens[1:], minlength=encoding.num_tokens)
    known = float(counts @ encoding.num_bytes.astype(np.float64))
    return (num_bytes - known) / max(int(counts[START]), 1)


def _type(num_tokens: int) -> type:
    return np.uint16 if num_tokens <= 2**16 else np.uint32
