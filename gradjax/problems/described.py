"""Examples of a batch as lines of text for a reader; see `Problem.describe`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradjax.data.byte_pairs import START
from gradjax.data.ratings import Ratings
from gradjax.data.tokens import Tokenizer
from gradjax.types import Batch

Describe = Callable[[Batch], list[str]]  # a line for each example of the batch


def of_texts(tokenizer: Tokenizer, class_names: Sequence[str]) -> Describe:
    """Describes texts: the decoded tokens and the class of each.

    A row may have several texts, one after the other; a length of 0 is none.
    """

    def describe(batch: Batch) -> list[str]:
        rows = zip(*_host(batch, "tokens", "lengths", "label"), strict=True)
        return [
            " | ".join(
                f"{_decoded(tokenizer, part)} ({class_names[label]})"
                for part, label in zip(
                    np.split(tokens, np.cumsum(np.atleast_1d(lengths)))[:-1],
                    np.atleast_1d(labels),
                    strict=True,
                )
                if len(part)
            )
            for tokens, lengths, labels in rows
        ]

    return describe


def of_windows(decode: Callable[[Sequence[int]], str], window: int) -> Describe:
    """Describes windows of a text: what is predicted, with ? for what is unknown.

    In training a window is shifted by less than its length, to a place that depends on
    the key of the step; the line has the window that is not shifted.
    """

    def text_of(tokens: Sequence[int]) -> str:
        parts: list[list[int]] = [[]]
        for token in tokens:
            if token == START:
                parts.append([])
            else:
                parts[-1].append(int(token))
        return "?".join(map(decode, parts))

    def describe(batch: Batch) -> list[str]:
        rows = zip(*_host(batch, "tokens", "num_left"), strict=True)
        return [
            text_of(row[1 : end + 1])
            for row, end in ((row, min(window, left)) for row, left in rows)
        ]

    return describe


def of_pairs(tokenizer: Tokenizer) -> Describe:
    """Describes rows of pairs of sentences: source -> target of each pair."""

    def describe(batch: Batch) -> list[str]:
        names = ("source", "source_part", "labels", "target_part")
        return [
            " | ".join(
                f"{_decoded(tokenizer, source[own == part])} -> "
                f"{_decoded(tokenizer, target[other == part])}"
                for part in range(1, own.max() + 1)
            )
            for source, own, target, other in zip(*_host(batch, *names), strict=True)
        ]

    return describe


def of_ratings(source: Ratings) -> Describe:
    """Describes ratings: the user, the title of the item, and the rating."""

    def describe(batch: Batch) -> list[str]:
        rows = zip(*_host(batch, "user", "item", "rating"), strict=True)
        return [
            f"user {source.users[user]}: {source.titles[item]} ({rating:g})"
            for user, item, rating in rows
        ]

    return describe


def _host(batch: Batch, *names: str) -> list[Any]:
    return [np.asarray(batch[name]) for name in names]


def _decoded(tokenizer: Tokenizer, tokens: np.ndarray) -> str:
    return tokenizer.decode(tokens.tolist())
