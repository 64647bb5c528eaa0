"""Metrics of recommended lists: recall@k and NDCG@k."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

_CHUNK = 128  # users scored at once


class Pairs(NamedTuple):
    """Pairs of a user and an item, one per row."""

    user: np.ndarray  # i32[pairs]
    item: np.ndarray  # i32[pairs]


class Ranking(NamedTuple):
    """Means over users; NaN if no user has a relevant item."""

    recall: float
    ndcg: float
    num_users: int  # users with at least one relevant item


def best(
    scores: Callable[[np.ndarray], jax.Array],
    users: np.ndarray,
    excluded: Pairs,
    k: int,
) -> np.ndarray:
    """Finds the k items with the highest scores for each user.

    They are sorted by descending score; equal scores are sorted by id.

    Args:
      scores: users i32[chunk] -> f32[chunk, items].
      users: i32[users].
      excluded: pairs that are ranked below all others, such as known ratings.
      k: length of a list, at most the number of items.

    Returns:
      i32[users, k], the ids of the items.
    """
    excluded = _by_user(excluded)
    top = jax.jit(lambda scored: jax.lax.top_k(scored, k)[1])
    found = np.empty((len(users), k), np.int32)
    for start in range(0, len(users), _CHUNK):
        part = users[start : start + _CHUNK]
        filled = np.resize(part, _CHUNK)  # a constant shape avoids a second compilation
        scored = np.array(scores(filled))
        scored[_is_in(filled, excluded, scored.shape[1])] = -np.inf
        found[start : start + _CHUNK] = np.asarray(top(scored))[: len(part)]
    return found


def rank(
    scores: Callable[[np.ndarray], jax.Array],
    relevant: Pairs,
    excluded: Pairs,
    num_items: int,
    k: int,
) -> Ranking:
    """Computes recall@k and NDCG@k over all items, for users with a relevant item.

    Let R be the user's relevant items and L the k items with the highest scores that
    are not excluded. Then recall@k = |L and R| / |R| and NDCG@k = DCG / ideal DCG,
    where DCG is the sum of 1 / log2(1 + rank) over the ranks 1 to k of relevant items
    in L, and the ideal list has relevant items at its first min(k, |R|) ranks.

    Args:
      scores: users i32[chunk] -> f32[chunk, items].
      relevant: the relevant pairs; those that are excluded are ignored.
      excluded: pairs that a list must not contain: the ratings of the train split.
      num_items: number of items; ids are below it.
      k: length of a list; num_items if that is smaller.

    Source:
      Jarvelin and Kekalainen, "Cumulated Gain-based Evaluation of IR Techniques", ACM
      TOIS 20(4), 2002.
    """
    k = min(k, num_items)
    codes = np.unique(_codes(relevant, num_items))
    codes = codes[~np.isin(codes, _codes(excluded, num_items))]
    left = Pairs(codes // num_items, codes % num_items)
    users, counts = np.unique(left.user, return_counts=True)
    if not len(users):
        return Ranking(float("nan"), float("nan"), 0)
    listed = best(scores, users.astype(np.int32), excluded, k)
    is_hit = np.isin(users[:, None] * np.int64(num_items) + listed, codes)
    gains = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(gains)[np.minimum(counts, k) - 1]
    return Ranking(
        recall=float((is_hit.sum(axis=1) / counts).mean()),
        ndcg=float((is_hit @ gains / ideal).mean()),
        num_users=len(users),
    )


def _codes(pairs: Pairs, num_items: int) -> np.ndarray:
    """Encodes each pair as one number: i64[pairs]."""
    return pairs.user.astype(np.int64) * num_items + pairs.item


def _is_in(users: np.ndarray, pairs: Pairs, num_items: int) -> np.ndarray:
    """Marks the pairs of some users: bool[users, items]; `pairs` is sorted by user."""
    table = np.zeros((len(users), num_items), bool)
    starts, ends = (np.searchsorted(pairs.user, users, s) for s in ("left", "right"))
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        table[row, pairs.item[start:end]] = True
    return table


def _by_user(pairs: Pairs) -> Pairs:
    order = np.argsort(pairs.user, kind="stable")
    return Pairs(pairs.user[order], pairs.item[order])
