"""Finds the tokens of texts with the library `tokenizers` (the extra [text]).

Training counts words and merges the most frequent pairs, with ties broken by order, so
the same texts give the same tokenizer.
"""

from collections.abc import Sequence
from typing import Any

from gradjax.errors import Refusal

PAD, UNKNOWN, BEGIN, END = range(4)  # the same in every tokenizer
SPECIAL = ("[pad]", "[unknown]", "[begin]", "[end]")
KINDS = ("word", "bpe")


def trained(texts: Sequence[str], kind: str, vocab_size: int, is_lowered: bool) -> Any:
    """Trains a tokenizer of the library; see `tokens.train` for the arguments.

    A "bpe" has all characters of the texts, even if they are more than vocab_size.

    Raises:
      Refusal: the kind is unknown, there is no text, or the package `tokenizers` is not
        installed.
    """
    if kind not in KINDS:
        raise Refusal(f"tokenizer {kind!r}: expected {' or '.join(map(repr, KINDS))}")
    if not texts:
        raise Refusal("a tokenizer of no text; expected the train split's")
    made, trainer = (_words if kind == "word" else _pairs)(library(), vocab_size)
    made.normalizer = _normalizer(library(), is_lowered)
    made.train_from_iterator(texts, trainer)
    return made


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
