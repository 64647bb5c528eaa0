"""The two-tower model: one MLP for users, one for items, and an inner product."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gradjax.models.mlp import mlp
from gradjax.models.recommender import (
    Catalogue,
    Recommender,
    Side,
    rows,
    table,
    table_penalty,
)
from gradjax.types import Key, Params


def two_tower(
    catalogue: Catalogue,
    rank: int = 32,
    width: int = 32,
    widths: Sequence[int] = (64,),
    l2: float = 1.0,
    l2_bias: float = 0.01,
    scale: float = 0.1,
) -> Recommender:
    """Makes a model with an embedding and an MLP, the tower, for users and for items.

    The tower of the items also gets the genres of an item if the data set has them, so
    the vector of an item without training ratings depends on them. Each user and each
    item has a bias.

    Args:
      catalogue: the users and items, which of them have training ratings, and genres.
      rank: size of a tower's output.
      width: size of an embedding.
      widths: number of units of each hidden layer of a tower.
      l2: penalty on the embeddings in a batch, see `table_penalty`.
      l2_bias: penalty on the biases in a batch, see `table_penalty`.
      scale: standard deviation of the initial numbers of an embedding.

    Returns:
      A Recommender; its parameters are {"user", "item"} -> {"vector", "bias"}, the
      embeddings, and {"user_tower", "item_tower"}.

    Source:
      Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
      Recommendations", RecSys 2019. Differs from the paper in that ratings are fitted
      by squared error, so no items are sampled, and vectors are not normalised.
    """
    genres = jnp.asarray(catalogue.genres, jnp.float32)
    user_tower = mlp((width,), rank, widths)
    item_tower = mlp((width + genres.shape[1],), rank, widths)

    def init(key: Key) -> Params:
        keys = jax.random.split(key, 4)
        return {
            "user": table(keys[0], catalogue.seen_users, width, scale),
            "item": table(keys[1], catalogue.seen_items, width, scale),
            "user_tower": user_tower.init(keys[2]),
            "item_tower": item_tower.init(keys[3]),
        }

    def user(params: Params, ids: jax.Array) -> Side:
        own = rows(params["user"], ids)
        return Side(user_tower.apply(params["user_tower"], own["vector"]), own["bias"])

    def item(params: Params, ids: jax.Array) -> Side:
        own = rows(params["item"], ids)
        told = genres.at[ids].get(mode="fill", fill_value=0.0)
        inputs = jnp.concatenate([own["vector"], told], axis=-1)
        return Side(item_tower.apply(params["item_tower"], inputs), own["bias"])

    return Recommender(init, user, item, table_penalty(l2, l2_bias))
