"""The interface of models of ratings: a vector and a bias per user and per item."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.types import Batch, Key, Params

Table = dict[str, jax.Array]  # "vector" f32[rows, width], "bias" f32[rows]


class Side(NamedTuple):
    """The vectors and biases of a batch of users or of items."""

    vector: jax.Array  # f32[batch, rank]
    bias: jax.Array  # f32[batch]


class Recommender(NamedTuple):
    """A model of ratings: mean + bias of user + bias of item + <vector, vector>."""

    init: Callable[[Key], Params]
    user: Callable[[Params, jax.Array], Side]  # (params, ids i32[batch])
    item: Callable[[Params, jax.Array], Side]  # (params, ids i32[batch])
    penalty: Callable[[Params, Batch], jax.Array]
    # (params, "user" and "item" i32[batch]) -> f32[batch]: penalty of each rating


class Catalogue(NamedTuple):
    """The properties of the data that determine a model's tables."""

    seen_users: np.ndarray  # bool[users]: whether the user has training ratings
    seen_items: np.ndarray  # bool[items]: whether the item has training ratings
    genres: np.ndarray  # bool[items, genres]; may have no columns


def predict(model: Recommender, mean: float, params: Params, batch: Batch) -> jax.Array:
    """Predicts the ratings of a batch: "user", "item" i32[batch] -> f32[batch]."""
    user = model.user(params, batch["user"])
    item = model.item(params, batch["item"])
    return mean + user.bias + item.bias + (user.vector * item.vector).sum(axis=-1)


def scores(
    model: Recommender, mean: float, params: Params, users: jax.Array, num_items: int
) -> jax.Array:
    """Predicts all ratings of some users: i32[users] -> f32[users, items]."""
    user = model.user(params, users)
    item = model.item(params, jnp.arange(num_items, dtype=jnp.int32))
    return mean + user.bias[:, None] + item.bias[None] + user.vector @ item.vector.T


def table(key: Key, seen: np.ndarray, width: int, scale: float) -> Table:
    """Initialises a table: vectors from N(0, scale^2), biases zero.

    Rows without training ratings have a zero vector. They never get a gradient, so they
    keep a zero vector and a zero bias.

    Args:
      key: a random key.
      seen: bool[rows], whether a row has training ratings.
      width: size of a vector.
      scale: standard deviation of the numbers of a vector.
    """
    drawn = scale * jax.random.normal(key, (len(seen), width))
    is_seen = jnp.asarray(seen)[:, None]
    return {
        "vector": jnp.where(is_seen, drawn, 0.0),
        "bias": jnp.zeros(len(seen)),
    }


def rows(side: Table, ids: jax.Array) -> Table:
    """Gathers rows: "vector" f32[batch, width] and "bias" f32[batch].

    An id outside the table is a new user or item and gets zeros. Ordinary indexing is
    not used, because it would return the last row.
    """
    return {
        name: jnp.asarray(leaf).at[ids].get(mode="fill", fill_value=0.0)
        for name, leaf in side.items()
    }


def table_penalty(l2: float, l2_bias: float) -> Callable[..., jax.Array]:
    """Makes the penalty l2 (|p|^2 + |q|^2) + l2_bias (b^2 + c^2) of each rating.

    p and b are the vector and the bias of the rating's user, q and c those of its item.
    A row is penalised once for each of its ratings in the batch. Over an epoch a row
    with n ratings is therefore weighted by n, as in Zhou, Wilkinson, Schreiber and Pan,
    "Large-scale Parallel Collaborative Filtering for the Netflix Prize", 2008.

    Returns:
      A function (params, batch) -> f32[batch].
    """

    def penalty(params: Params, batch: Batch) -> jax.Array:
        total: Any = 0.0
        for name in ("user", "item"):
            touched = rows(params[name], batch[name])
            total += l2 * jnp.square(touched["vector"]).sum(axis=-1)
            total += l2_bias * jnp.square(touched["bias"])
        return total

    return penalty
