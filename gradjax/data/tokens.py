"""From texts to numbers: a tokenizer trained on the train split, and padded arrays.

The work is the library `tokenizers`'s (the extra [text]); what is fixed here is what a
tokenizer may see (the train split, never another), its special tokens and its cache.
Training counts words and merges the most frequent pairs, ties by order: the same texts
give the same tokenizer.
"""

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjax.data.cache import Arrays, cached
from gradjax.data.strings import LabelledTexts, pack, unpack
from gradjax.errors import Refusal

PAD, UNKNOWN, BEGIN, END = range(4)  # the same in every tokenizer
SPECIAL = ("[pad]", "[unknown]", "[begin]", "[end]")
KINDS = ("word", "bpe")


class Tokenizer(NamedTuple):
    """Texts to numbers and back."""

    encode: Callable[[Sequence[str]], list[list[int]]]  # no special token is added
    decode: Callable[[Sequence[int]], str]  # special tokens are left out
    num_tokens: int  # the special ones included
    state: str  # JSON, from which `from_state` makes it again


class Tokens(NamedTuple):
    """The numbers of one split."""

    tokens: np.ndarray  # i32[examples, time], PAD behind the end
    lengths: np.ndarray  # i32[examples], at least 1
    labels: np.ndarray  # i32[examples]


class TokenizedTexts(NamedTuple):
    """Labelled texts as padded numbers, and the tokenizer that made them."""

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
    """A tokenizer of these texts.

    Args:
      texts: of the train split.
      kind: "word": each word and each mark is one token, those beyond the most frequent
        `vocab_size` unknown; "bpe": byte-pair encoding within words (Sennrich, Haddow
        and Birch 2016), in which only characters never seen are unknown.
      vocab_size: tokens at most, the 4 special ones included.
      is_lowered: read in lower case and without accents.

    Raises:
      Refusal: another kind, a size that cannot be, or does not hold the characters that
        "bpe" begins with; no text, or no `tokenizers`.
    """
    if kind not in KINDS:
        raise Refusal(f"tokenizer {kind!r}: expected {' or '.join(map(repr, KINDS))}")
    check_vocab_size(vocab_size)
    if not texts:
        raise Refusal("a tokenizer of no text; expected the train split's")
    made, trainer = (_words if kind == "word" else _pairs)(library(), vocab_size)
    made.normalizer = _normalizer(library(), is_lowered)
    made.train_from_iterator(texts, trainer)
    if (found := made.get_vocab_size()) > vocab_size:  # the library keeps them all
        there = f"the texts have {found - len(SPECIAL)} characters"
        raise Refusal(f"vocab_size={vocab_size}: {there}; expected at least {found}")
    return _wrapped(made)


def check_vocab_size(vocab_size: int) -> None:
    """Refuses a number of tokens that cannot be.

    Raises:
      Refusal: the line has the bounds.
    """
    if not len(SPECIAL) < vocab_size <= 2**20:
        expected = f"expected from {len(SPECIAL) + 1} to {2**20}"
        raise Refusal(f"vocab_size={vocab_size}: {expected}")


def _words(library: Any, vocab_size: int) -> tuple[Any, Any]:
    """A tokenizer of whole words, and its trainer."""
    made = library.Tokenizer(library.models.WordLevel(unk_token=SPECIAL[UNKNOWN]))
    made.pre_tokenizer = library.pre_tokenizers.Whitespace()
    trainer = library.trainers.WordLevelTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL), show_progress=False
    )
    return made, trainer


def _pairs(library: Any, vocab_size: int) -> tuple[Any, Any]:
    """A tokenizer of parts of words, and its trainer.

    A word begins with a mark of its own. (With an end_of_word_suffix instead, the
    library's numbering follows a hash table and differs from run to run.)
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
    """The tokenizer whose `state` this is.

    Raises:
      Refusal: it is damaged, or `tokenizers` is not installed.
    """
    read = library().Tokenizer.from_str
    try:
        return _wrapped(read(state))
    except Exception as error:  # the library raises nothing narrower
        raise Refusal(f"a damaged tokenizer ({error})") from error


def encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The numbers of a user's texts.

    Raises:
      Refusal: they are no list of texts.
    """
    with contextlib.suppress(TypeError):  # no list, or half of a surrogate pair
        said = [] if isinstance(texts, str) else list(texts)
        if said and all(isinstance(one, str) for one in said):
            return tokenizer.encode(said)
    raise Refusal('predict takes a list of texts, as in predict(["a text"])')


def pad(sequences: Sequence[Sequence[int]], time: int) -> tuple[np.ndarray, np.ndarray]:
    """Sequences as one array, cut at `time`; an empty one is one UNKNOWN.

    Args:
      sequences: token numbers, of any lengths.
      time: the second axis.

    Returns:
      tokens i32[examples, time], PAD behind the end, and lengths i32[examples].
    """
    tokens = np.full((len(sequences), time), PAD, np.int32)
    lengths = np.empty(len(sequences), np.int32)
    for row, sequence in enumerate(sequences):
        kept = list(sequence[:time]) or [UNKNOWN]
        tokens[row, : len(kept)] = kept
        lengths[row] = len(kept)
    return tokens, lengths


def tokenized(
    texts: LabelledTexts, kind: str, vocab_size: int, max_length: int
) -> TokenizedTexts:
    """All splits as numbers, by a tokenizer of the train split alone; kept.

    The arrays are as long as the longest text of the train split, and at most
    `max_length`; what is longer is cut. A text without any token (of marks that nothing
    is left of) is one UNKNOWN.

    Args:
      texts: from `texts.load_labelled`.
      kind: of tokenizer, see `train`.
      vocab_size: as there.
      max_length: tokens of a text that are read, from its start.

    Raises:
      Refusal: what `train` refuses, or a max_length that is not positive.
    """
    if not 1 <= max_length <= 2**16:
        raise Refusal(f"max_length={max_length}: expected from 1 to {2**16}")
    version = importlib.metadata.version("tokenizers") if library() else ""
    said = [texts.fingerprint, kind, vocab_size, max_length, version]
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
    arrays = cached(
        f"tokens-{digest}", lambda: _made(texts, kind, vocab_size, max_length)
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


def _made(texts: LabelledTexts, kind: str, vocab_size: int, max_length: int) -> Arrays:
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


def _wrapped(made: Any) -> Tokenizer:
    def encode(texts: Sequence[str]) -> list[list[int]]:
        return [found.ids for found in made.encode_batch(list(texts))]

    def decode(tokens: Sequence[int]) -> str:
        return made.decode([int(token) for token in tokens], skip_special_tokens=True)

    return Tokenizer(encode, decode, made.get_vocab_size(), made.to_str())


def library() -> Any:
    """The package `tokenizers`.

    Raises:
      Refusal: it is not installed.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise Refusal(
            "texts need the package tokenizers: pip install 'gradjax[text]'"
        ) from error
    return tokenizers
