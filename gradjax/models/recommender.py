"""What every model of ratings is: a vector and a bias for each user and each item."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.types import Batch, Key, Params

Table = dict[str, jax.Array]  # "vector" f32[rows, width], "bias" f32[rows]


class Side(NamedTuple):
    """A batch of users, or of items, as the model sees them."""

    vector: jax.Array  # f32[batch, rank]
    bias: jax.Array  # f32[batch]


class Recommender(NamedTuple):
    """A rating is mean + bias of the user + bias of the item + <vector, vector>."""

    init: Callable[[Key], Params]
    user: Callable[[Params, jax.Array], Side]  # (params, ids i32[batch])
    item: Callable[[Params, jax.Array], Side]
    penalty: Callable[[Params, Batch], jax.Array]
    # (params, "user" and "item" i32[batch]) -> f32[batch]: what regularises each rating


class Catalogue(NamedTuple):
    """What a model must know of the data: sizes, and which rows training ever sees."""

    seen_users: np.ndarray  # bool[users]
    seen_items: np.ndarray  # bool[items]
    genres: np.ndarray  # bool[items, genres]; may have no columns


def predict(model: Recommender, mean: float, params: Params, batch: Batch) -> jax.Array:
    """The ratings of a batch: "user" and "item" i32[batch] -> f32[batch]."""
    user = model.user(params, batch["user"])
    item = model.item(params, batch["item"])
    return mean + user.bias + item.bias + (user.vector * item.vector).sum(axis=-1)


def scores(
    model: Recommender, mean: float, params: Params, users: jax.Array, num_items: int
) -> jax.Array:
    """The rating of every item by each user: i32[users] -> f32[users, items]."""
    user = model.user(params, users)
    item = model.item(params, jnp.arange(num_items, dtype=jnp.int32))
    return mean + user.bias[:, None] + item.bias[None] + user.vector @ item.vector.T


def table(key: Key, seen: np.ndarray, width: int, scale: float) -> Table:
    """Vectors drawn from N(0, scale^2) where the row is seen in training, else zero.

    Biases start at zero. A row that no batch touches has no gradient, so a user never
    seen keeps a zero vector and a zero bias.
    """
    drawn = scale * jax.random.normal(key, (len(seen), width))
    is_seen = jnp.asarray(seen)[:, None]
    return {
        "vector": jnp.where(is_seen, drawn, 0.0),
        "bias": jnp.zeros(len(seen)),
    }


def rows(side: Table, ids: jax.Array) -> Table:
    """The rows of a batch: "vector" f32[batch, width] and "bias" f32[batch].

    An id beyond the table is a user, or an item, never seen: zeros. (An ordinary index
    would be moved to the last row.)
    """
    return {
        name: jnp.asarray(leaf).at[ids].get(mode="fill", fill_value=0.0)
        for name, leaf in side.items()
    }


def table_penalty(l2: float, l2_bias: float) -> Callable[..., jax.Array]:
    """(params, batch) -> l2 (|p|^2 + |q|^2) + l2_bias (b^2 + c^2), each f32[batch].

    p and b are the row of the rating's user, q and c that of its item. Only rows that
    the batch touches are pulled, each as often as it is touched: over an epoch a row
    with n ratings is weighted by n, as in Zhou, Wilkinson, Schreiber and Pan,
    "Large-scale Parallel Collaborative Filtering for the Netflix Prize", 2008.
    """

    def penalty(params: Params, batch: Batch) -> jax.Array:
        total: Any = 0.0
        for name in ("user", "item"):
            touched = rows(params[name], batch[name])
            total += l2 * jnp.square(touched["vector"]).sum(axis=-1)
            total += l2_bias * jnp.square(touched["bias"])
        return total

    return penalty
