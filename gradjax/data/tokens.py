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

from gradjax.data.cache import Arrays, read_or_make
from gradjax.data.strings import LabelledTexts, pack, unpack
from gradjax.errors import Refusal

PAD, UNKNOWN, BEGIN, END = range(4)  # the same in every tokenizer
SPECIAL = ("[pad]", "[unknown]", "[begin]", "[end]")
KINDS = ("word", "bpe")


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
    if kind not in KINDS:
        raise Refusal(f"tokenizer {kind!r}: expected {' or '.join(map(repr, KINDS))}")
    check_vocab_size(vocab_size)
    if not texts:
        raise Refusal("a tokenizer of no text; expected the train split's")
    made, trainer = (_words if kind == "word" else _pairs)(library(), vocab_size)
    made.normalizer = _normalizer(library(), is_lowered)
    made.train_from_iterator(texts, trainer)
    if (found := made.get_vocab_size()) > vocab_size:  # "bpe" keeps all characters
        there = f"the texts have {found - len(SPECIAL)} characters"
        raise Refusal(f"vocab_size={vocab_size}: {there}; expected at least {found}")
    return _wrap(made)


def check_vocab_size(vocab_size: int) -> None:
    """Refuses a number of tokens that is out of range.

    Raises:
      Refusal: vocab_size is out of range; the line has the bounds.
    """
    if not len(SPECIAL) < vocab_size <= 2**20:
        expected = f"expected from {len(SPECIAL) + 1} to {2**20}"
        raise Refusal(f"vocab_size={vocab_size}: {expected}")


def _words(library: Any, vocab_size: int) -> tuple[Any, Any]:
    """Makes a tokenizer with one token per word, and its trainer."""
    made = library.Tokenizer(library.models.WordLevel(unk_token=SPECIAL[UNKNOWN]))
    made.pre_tokenizer = library.pre_tokenizers.Whitespace()
    trainer = library.trainers.WordLevelTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL), show_progress=False
    )
    return made, trainer


def _pairs(library: Any, vocab_size: int) -> tuple[Any, Any]:
    """Makes a byte-pair tokenizer, and its trainer.

    A special character marks the start of a word. An end_of_word_suffix is not used,
    because with it the library numbers the tokens in the order of a hash table, which
    differs from run to run.
    """
    made = library.Tokenizer(library.models.BPE(unk_token=SPECIAL[UNKNOWN]))
    made.pre_tokenizer = library.pre_tokenizers.Sequence(
        [library.pre_tokenizers.Metaspace(), library.pre_tokenizers.Punctuation()]
    )
    made.decoder = library.decoders.Metaspace()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL), show_progress=False
    )
    return made, trainer


def _normalizer(library: Any, is_lowered: bool) -> Any:
    one_space = library.normalizers.Replace(library.Regex(r"\s+"), " ")
    parts = [one_space, library.normalizers.Strip(), library.normalizers.NFC()]
    if is_lowered:
        parts += [
            library.normalizers.NFD(),
            library.normalizers.Lowercase(),
            library.normalizers.StripAccents(),
        ]
    return library.normalizers.Sequence(parts)


def from_state(state: str) -> Tokenizer:
    """Restores a tokenizer from its `state`.

    Raises:
      Refusal: the state is damaged, or `tokenizers` is not installed.
    """
    read = library().Tokenizer.from_str
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


def tokenize(
    texts: LabelledTexts, kind: str, vocab_size: int, max_length: int
) -> TokenizedTexts:
    """Converts all splits to token numbers with a tokenizer of the train split; cached.

    The second axis of the arrays has the length of the longest text of the train split,
    but at most `max_length`; longer texts are truncated. A text without tokens becomes
    one UNKNOWN.

    Args:
      texts: from `texts.load_labelled`.
      kind: of the tokenizer, see `train`.
      vocab_size: the largest number of tokens, see `train`.
      max_length: the largest number of tokens per text.

    Raises:
      Refusal: `train` refuses its arguments, or max_length is out of range.
    """
    if not 1 <= max_length <= 2**16:
        raise Refusal(f"max_length={max_length}: expected from 1 to {2**16}")
    version = importlib.metadata.version("tokenizers") if library() else ""
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


def _make(texts: LabelledTexts, kind: str, vocab_size: int, max_length: int) -> Arrays:
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


def library() -> Any:
    """Imports the package `tokenizers`.

    Raises:
      Refusal: the package is not installed.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise Refusal(
            "texts need the package tokenizers: pip install 'gradjax[text]'"
        ) from error
    return tokenizers
