"""Converts texts to padded arrays of tokens, with a tokenizer of the train split.

The tokenizers are those of the library `tokenizers` (the extra [text]). This module
ensures that they see only the train split, and adds special tokens and a cache.
Training counts words and merges the most frequent pairs, with ties broken by order, so
the same texts give the same tokenizer.
"""

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjax.data import vocabulary
from gradjax.data.cache import Arrays, read_or_make
from gradjax.data.strings import LabelledTexts, pack, unpack
from gradjax.data.vocabulary import BEGIN as BEGIN
from gradjax.data.vocabulary import END as END
from gradjax.data.vocabulary import KINDS as KINDS
from gradjax.data.vocabulary import PAD, SPECIAL, UNKNOWN
from gradjax.errors import Refusal

USUAL_WORDS, USUAL_PAIRS = 8_000, 4_000  # tokens, of texts and of translations


class Tokenizer(NamedTuple):
    """Converts texts to token numbers and back."""

    encode: Callable[[Sequence[str]], list[list[int]]]  # adds no special tokens
    decode: Callable[[Sequence[int]], str]  # leaves out special tokens
    num_tokens: int  # with the special tokens
    state: str  # JSON, from which `from_state` restores the tokenizer


class Tokens(NamedTuple):
    """The token numbers and labels of one split."""

    tokens: np.ndarray  # i32[examples, time], padded with PAD
    lengths: np.ndarray  # i32[examples], in tokens, at least 1
    labels: np.ndarray  # i32[examples]


class TokenizedTexts(NamedTuple):
    """Labelled texts as padded token numbers, and their tokenizer."""

    train: Tokens
    validation: Tokens
    test: Tokens
    tokenizer: Tokenizer
    num_cut: int  # texts of all splits that were longer than `time`


def train(
    texts: Sequence[str],
    kind: str = "bpe",
    vocab_size: int = 4_000,
    is_lowered: bool = True,
) -> Tokenizer:
    """Trains a tokenizer on texts.

    Args:
      texts: the texts of the train split.
      kind: "word": each word and each punctuation mark is one token, and those that are
        not among the most frequent ones are unknown; "bpe": byte-pair encoding within
        words (Sennrich, Haddow and Birch 2016), where only characters that do not occur
        in `texts` are unknown.
      vocab_size: the largest number of tokens, with the 4 special tokens.
      is_lowered: whether case and accents are removed first.

    Raises:
      Refusal: the kind is unknown, vocab_size is out of range or too small for the
        characters of the texts ("bpe"), there is no text, or the package `tokenizers`
        is not installed.
    """
    check_vocab_size(vocab_size)
    made = vocabulary.trained(texts, kind, vocab_size, is_lowered)
    if (found := made.get_vocab_size()) > vocab_size:
        there = f"the texts have {found - len(SPECIAL)} characters"
        raise Refusal(f"vocab_size={vocab_size}: {there}; expected at least {found}")
    return _wrap(made)


def train_usual(
    texts: Sequence[str], kind: str, usual: int, is_lowered: bool = True
) -> Tokenizer:
    """Trains a tokenizer with the usual number of tokens, or with more.

    Where the texts have more characters than `usual`, as in Chinese, so many tokens are
    added to one token for each character.

    Args:
      texts: as in `train`.
      kind: as in `train`.
      usual: the usual largest number of tokens.
      is_lowered: as in `train`.

    Raises:
      Refusal: the kind is unknown, or there is no text.
    """
    made = vocabulary.trained(texts, kind, usual, is_lowered)
    if (found := made.get_vocab_size()) > usual:
        made = vocabulary.trained(texts, kind, found + usual, is_lowered)
    return _wrap(made)


def check_vocab_size(vocab_size: int) -> None:
    """Refuses a number of tokens that is out of range.

    Raises:
      Refusal: vocab_size is out of range; the line has the bounds.
    """
    if not len(SPECIAL) < vocab_size <= 2**20:
        expected = f"expected from {len(SPECIAL) + 1} to {2**20}"
        raise Refusal(f"vocab_size={vocab_size}: {expected}")


def chosen(tokenizer: Tokenizer, usual: int) -> dict[str, list[str]]:
    """Describes a vocabulary for the record if it is larger than the usual one."""
    if tokenizer.num_tokens <= usual:
        return {}
    reason = f"because the texts have more characters than the usual {usual:,} tokens"
    return {"chosen": [f"vocab_size {tokenizer.num_tokens:,}, {reason}"]}


def from_state(state: str) -> Tokenizer:
    """Restores a tokenizer from its `state`.

    Raises:
      Refusal: the state is damaged, or `tokenizers` is not installed.
    """
    read = vocabulary.library().Tokenizer.from_str
    try:
        return _wrap(read(state))
    except Exception as error:  # the library raises no narrower type
        raise Refusal(f"a damaged tokenizer ({error})") from error


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Converts the user's texts to token numbers.

    Raises:
      Refusal: `texts` is not a list of texts.
    """
    with contextlib.suppress(TypeError):  # not a list, or half of a surrogate pair
        said = [] if isinstance(texts, str) else list(texts)
        if said and all(isinstance(one, str) for one in said):
            return tokenizer.encode(said)
    raise Refusal('predict takes a list of texts, as in predict(["a text"])')


def pad(sequences: Sequence[Sequence[int]], time: int) -> tuple[np.ndarray, np.ndarray]:
    """Converts sequences to one array; an empty sequence becomes one UNKNOWN.

    Args:
      sequences: token numbers; longer sequences are truncated at `time`.
      time: size of the second axis.

    Returns:
      tokens i32[examples, time], padded with PAD, and lengths i32[examples].
    """
    tokens = np.full((len(sequences), time), PAD, np.int32)
    lengths = np.empty(len(sequences), np.int32)
    for row, sequence in enumerate(sequences):
        kept = list(sequence[:time]) or [UNKNOWN]
        tokens[row, : len(kept)] = kept
        lengths[row] = len(kept)
    return tokens, lengths


def padding(lengths: np.ndarray, size: int) -> float:
    """Returns the share of padding in an array of tokens, with four decimals.

    Args:
      lengths: the numbers of tokens that are not padding, of any shape.
      size: the number of all tokens of the array.
    """
    return round(1.0 - float(lengths.sum()) / size, 4)


def tokenize(
    texts: LabelledTexts, kind: str, vocab_size: int | None, max_length: int
) -> TokenizedTexts:
    """Converts all splits to token numbers with a tokenizer of the train split; cached.

    The second axis of the arrays has the length of the longest text of the train split,
    but at most `max_length`; longer texts are truncated. A text without tokens becomes
    one UNKNOWN.

    Args:
      texts: from `texts.load_labelled`.
      kind: of the tokenizer, see `train`.
      vocab_size: the largest number of tokens, see `train`; None: 8,000, or as
        `train_usual` says.
      max_length: the largest number of tokens per text.

    Raises:
      Refusal: `train` refuses its arguments, or max_length is out of range.
    """
    if not 1 <= max_length <= 2**16:
        raise Refusal(f"max_length={max_length}: expected from 1 to {2**16}")
    version = importlib.metadata.version("tokenizers") if vocabulary.library() else ""
    said = [texts.fingerprint, kind, vocab_size, max_length, version]
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
    arrays = read_or_make(
        f"tokens-{digest}", lambda: _make(texts, kind, vocab_size, max_length)
    )
    parts = {
        split: Tokens(
            arrays[f"{split}_tokens"],
            arrays[f"{split}_lengths"],
            getattr(texts, split).labels,
        )
        for split in ("train", "validation", "test")
    }
    tokenizer = from_state(unpack("state", arrays)[0])
    return TokenizedTexts(**parts, tokenizer=tokenizer, num_cut=int(arrays["num_cut"]))


def _make(
    texts: LabelledTexts, kind: str, vocab_size: int | None, max_length: int
) -> Arrays:
    if vocab_size is None:
        tokenizer = train_usual(texts.train.texts, kind, USUAL_WORDS)
    else:
        tokenizer = train(texts.train.texts, kind, vocab_size)
    splits = ("train", "validation", "test")
    found = {name: tokenizer.encode(getattr(texts, name).texts) for name in splits}
    longest = max(len(sequence) for sequence in found["train"])
    time = max(1, min(longest, max_length))
    arrays = pack("state", [tokenizer.state])
    for name, sequences in found.items():
        arrays[f"{name}_tokens"], arrays[f"{name}_lengths"] = pad(sequences, time)
    cut = sum(len(one) > time for sequences in found.values() for one in sequences)
    return arrays | {"num_cut": np.asarray(cut)}


def _wrap(made: Any) -> Tokenizer:
    def encode(texts: Sequence[str]) -> list[list[int]]:
        return [found.ids for found in made.encode_batch(list(texts))]

    def decode(tokens: Sequence[int]) -> str:
        return made.decode([int(token) for token in tokens], skip_special_tokens=True)

    return Tokenizer(encode, decode, made.get_vocab_size(), made.to_str())
