"""The baseline for recommendation: one bias per user and one per item."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

STRENGTHS = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0)  # l2, in units of one rating's weight
_MAX_SWEEPS, _TOLERANCE = 200, 1e-6  # tolerance: change of a bias per sweep, in stars


class Rows(NamedTuple):
    """Ratings; users and items are dense ids."""

    user: np.ndarray  # i32[ratings]
    item: np.ndarray  # i32[ratings]
    rating: np.ndarray  # f32[ratings]


class Biases(NamedTuple):
    """The model of a rating: mean + user[u] + item[i]."""

    mean: float
    user: np.ndarray  # f64[users]; 0 for a user without ratings
    item: np.ndarray  # f64[items]; 0 for an item without ratings


class Tuned(NamedTuple):
    """The baseline at the strengths with the best validation error."""

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
    """Minimises sum (r - mean - b_u - c_i)^2 + lu sum b_u^2 + li sum c_i^2.

    The method is alternating minimisation. With the item biases fixed, the best user
    biases are b_u = sum over u's ratings of (r - mean - c_i) / (lu + their number), and
    the same holds for c_i. The objective is convex and each update lowers it.

    Args:
      train: the ratings.
      num_users: number of users; ids are below it.
      num_items: number of items; ids are below it.
      user_strength: lu, above 0.
      item_strength: li, above 0.

    Returns:
      The biases, and the mean rating.

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


def predict(biases: Biases, rows: Rows) -> np.ndarray:
    """Predicts ratings f64[ratings]."""
    return biases.mean + biases.user[rows.user] + biases.item[rows.item]


def rmse(biases: Biases, rows: Rows) -> float:
    """Computes the root of the mean squared error over all rows."""
    return float(np.sqrt(np.mean((predict(biases, rows) - rows.rating) ** 2)))


def tune(
    train: Rows,
    validation: Rows,
    num_users: int,
    num_items: int,
    strengths: Sequence[float] = STRENGTHS,
) -> Tuned:
    """Fits the biases for every pair of strengths and selects the best on validation.

    Args:
      train: the ratings for the fit.
      validation: the ratings for the selection; never the test split.
      num_users: number of users; ids are below it.
      num_items: number of items; ids are below it.
      strengths: the values that are tried for users and for items.

    Raises:
      ValueError: there are no strengths.
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
