"""Byte-pair encoding of a long text over its bytes, so that every text round-trips.

The text is split into words, numbers and runs of other signs, each with the space
before it (the rule of GPT-2), and the most frequent pairs of neighbouring tokens within
these parts are merged, beginning with the 256 bytes (Sennrich, Haddow and Birch, 2016;
Radford et al., 2019). No byte is unknown, and nothing is normalised. Ties are broken by
order, so the same text gives the same tokenizer.

Token 0 is START, which is not in any text. The tokens of the library `tokenizers` (the
extra [text]) are numbered from 1 on.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from gradjax.data import vocabulary
from gradjax.data.pieces import Text, pieces
from gradjax.errors import Refusal

START = 0
USUAL = 4_096  # tokens
LEAST, MOST = 257, 2**20  # tokens: START and the 256 bytes; the upper bound is ours
_MOST_BYTES = 64  # of a token, so that a line of dashes is not one token
_LEAST_PAIRS = 2  # a pair that occurs once is not merged
_TOGETHER = 16  # pieces in one call, which the library encodes in threads


def train(text: Text, vocab_size: int) -> str:
    """Trains a tokenizer on a text.

    Args:
      text: the train split.
      vocab_size: the largest number of tokens, with START; a short text has fewer.

    Returns:
      The state of the tokenizer, as JSON of the library.

    Raises:
      Refusal: vocab_size is out of range, or the package is not installed.
    """
    if not LEAST <= vocab_size <= MOST:
        bytes_alone = "which are the 256 bytes and the start"
        expected = f"expected from {LEAST}, {bytes_alone}, to {MOST}"
        raise Refusal(f"vocab_size={vocab_size}: {expected}")
    library = vocabulary.library()
    made = library.Tokenizer(library.models.BPE())
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        min_frequency=_LEAST_PAIRS,
        max_token_length=_MOST_BYTES,
        initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[],
        show_progress=False,
    )
    made.train_from_iterator(pieces(text), trainer)
    return made.to_str()


def restored(state: str) -> Any:
    """Restores a tokenizer of the library from its state.

    Raises:
      Refusal: the state is damaged, or `tokenizers` is not installed.
    """
    read = vocabulary.library().Tokenizer.from_str
    try:
        return read(state)
    except Exception as error:  # the library raises no narrower type
        raise Refusal(f"a damaged tokenizer ({error})") from error


def encode(tokenizer: Any, parts: Iterable[str]) -> Iterator[np.ndarray]:
    """Converts the pieces of a text to the numbers of their tokens, without START.

    No token crosses the end of a piece.

    Args:
      tokenizer: from `restored`.
      parts: the pieces of the text.

    Yields:
      i32[tokens] of each piece.

    Raises:
      Refusal: the text has half of a surrogate pair, which is not in UTF-8.
    """
    remaining = iter(parts)
    while some := list(itertools.islice(remaining, _TOGETHER)):
        try:
            made = tokenizer.encode_batch_fast(some)
        except (TypeError, UnicodeEncodeError) as error:
            raise Refusal("a text that cannot be written in UTF-8") from error
        yield from (np.asarray(one.ids, np.int32) + 1 for one in made)


def contents(tokenizer: Any) -> list[bytes]:
    """Returns the bytes of each token; those of START are empty.

    Raises:
      Refusal: a token has a character that stands for no byte, as in a tokenizer that
        was not trained here.
    """
    places = _places()
    numbers = tokenizer.get_vocab()
    found = [b""] * (len(numbers) + 1)
    try:
        for letters, number in numbers.items():
            found[number + 1] = bytes(places[letter] for letter in letters)
    except (KeyError, IndexError) as error:
        raise Refusal(f"a tokenizer that is not one of bytes ({error})") from error
    return found


def text_of(parts: Sequence[bytes], tokens: Sequence[int]) -> str:
    """Converts tokens to a text; bytes that are not UTF-8 become U+FFFD.

    Args:
      parts: the bytes of each token, from `contents`.
      tokens: the numbers of the tokens.
    """
    return b"".join(parts[token] for token in tokens).decode(errors="replace")


def _places() -> dict[str, int]:
    """Returns the byte that each character of the library's tokens stands for.

    Bytes that are visible in Latin-1 stand for themselves, and the others for the
    characters from U+0100 on, in order.
    """
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = sorted(set(range(256)) - set(visible))
    codes = [*visible, *range(256, 256 + len(others))]
    return dict(zip(map(chr, codes), [*visible, *others], strict=True))
