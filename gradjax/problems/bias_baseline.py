"""The baseline of recommendation: a bias for each user and one for each item."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

STRENGTHS = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0)  # ratings' worth of pull to zero
_MAX_SWEEPS, _TOLERANCE = 200, 1e-6  # stars a bias still moves by


class Rows(NamedTuple):
    """Ratings, whose users and items are dense ids."""

    user: np.ndarray  # i32[ratings]
    item: np.ndarray  # i32[ratings]
    rating: np.ndarray  # f32[ratings]


class Biases(NamedTuple):
    """A rating is mean + user[u] + item[i]."""

    mean: float
    user: np.ndarray  # f64[users]; 0 of one without ratings
    item: np.ndarray  # f64[items]


class Tuned(NamedTuple):
    """The baseline at the strengths that validation likes best."""

    biases: Biases
    user_strength: float
    item_strength: float
    validation_rmse: float


def fit(
    train: Rows,
    num_users: int,
    num_items: int,
    user_strength: float,
    item_strength: float,
) -> Biases:
    """The least of sum (r - mean - b_u - c_i)^2 + lu sum b_u^2 + li sum c_i^2.

    By turns in closed form, each side's best with the other held:
    b_u = sum over u's ratings of (r - mean - c_i) / (lu + their number), and c_i the
    same. The objective is convex and each turn lowers it.

    Args:
      train: ratings.
      num_users: ids are below it.
      num_items: the same.
      user_strength: lu, above 0.
      item_strength: li, above 0.

    Source:
      Koren, "Factor in the Neighbors", ACM TKDD 4(1), 2010, section 2.1.
    """
    mean = float(train.rating.mean(dtype=np.float64))
    rest = train.rating.astype(np.float64) - mean
    user_weight = user_strength + np.bincount(train.user, minlength=num_users)
    item_weight = item_strength + np.bincount(train.item, minlength=num_items)
    user, item = np.zeros(num_users), np.zeros(num_items)
    for _ in range(_MAX_SWEEPS):
        before = user
        left = rest - user[train.user]
        item = np.bincount(train.item, left, num_items) / item_weight
        left = rest - item[train.item]
        user = np.bincount(train.user, left, num_users) / user_weight
        if np.abs(user - before).max() < _TOLERANCE:
            break
    return Biases(mean, user, item)


def predicted(biases: Biases, rows: Rows) -> np.ndarray:
    """f64[ratings]."""
    return biases.mean + biases.user[rows.user] + biases.item[rows.item]


def rmse(biases: Biases, rows: Rows) -> float:
    """The root of the mean squared error over all rows."""
    return float(np.sqrt(np.mean((predicted(biases, rows) - rows.rating) ** 2)))


def tuned(
    train: Rows,
    validation: Rows,
    num_users: int,
    num_items: int,
    strengths: Sequence[float] = STRENGTHS,
) -> Tuned:
    """Fits at every pair of strengths, and keeps the best on validation.

    Args:
      train: what is fitted.
      validation: what chooses; never the test split.
      num_users: ids are below it.
      num_items: the same.
      strengths: tried for either side.
    """
    best = None
    for user_strength in strengths:
        for item_strength in strengths:
            pair = (user_strength, item_strength)
            biases = fit(train, num_users, num_items, *pair)
            seen = Tuned(biases, *pair, rmse(biases, validation))
            if best is None or seen.validation_rmse < best.validation_rmse:
                best = seen
    if best is None:
        raise ValueError("no strengths to choose from")
    return best
