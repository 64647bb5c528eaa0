"""Assigns the examples of a data set that is written to its splits.

The assignment is a function of the seed and of the number of examples, so that it needs
no memory and an interrupted command computes it again.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gradjax.data.order import MAX_EXAMPLES, order
from gradjax.errors import Refusal

SPLITS = ("train", "validation", "test")
_CHUNK = 4096  # units whose split is computed at once


class Shares(NamedTuple):
    """The shares of two splits, of which the others are for training."""

    validation: float = 0.05
    test: float = 0.05
    seed: int = 0  # of the assignment


def sizes(shares: Shares, num_units: int) -> dict[str, int]:
    """Returns how many units each split has, at least 1.

    Args:
      shares: above 0, together below 1.
      num_units: examples, or texts that are not divided among splits.

    Raises:
      Refusal: impossible shares, or too few or too many units.
    """
    validation, test = shares.validation, shares.test
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise Refusal(
            f"validation={validation:g}, test={test:g}: expected two shares above 0,"
            " together below 1"
        )
    if num_units > MAX_EXAMPLES:
        raise Refusal(f"{num_units} examples: expected at most {MAX_EXAMPLES}")
    held_out = [max(1, round(share * num_units)) for share in shares[:2]]
    if sum(held_out) >= num_units:
        raise Refusal(
            f"{num_units} examples are too few for train, validation"
            f" ({validation:g}) and test ({test:g})"
        )
    return {
        "train": num_units - sum(held_out),
        "validation": held_out[0],
        "test": held_out[1],
    }


def units_of(split: str, shares: Shares, num_units: int) -> Iterator[int]:
    """Yields the units of a split in increasing order.

    Args:
      split: one of SPLITS.
      shares: as in `sizes`.
      num_units: as in `sizes`.
    """
    known = sizes(shares, num_units)
    at = np.cumsum([0, known["validation"], known["test"], known["train"]])
    place = ("validation", "test", "train").index(split)
    for start in range(0, num_units, _CHUNK):
        units = np.arange(start, min(start + _CHUNK, num_units), dtype=np.uint32)
        ranks = order(shares.seed, 0, units, num_units)
        is_chosen = (ranks >= at[place]) & (ranks < at[place + 1])
        yield from units[is_chosen].tolist()
