"""Two towers: a small network over each side's embedding, and an inner product."""

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
    """An embedding for each id, then Dense and relu, then `rank` numbers, each side.

    The item's tower sees the item's genres, too, where the data set tells them, so an
    item that training never sees is placed by them. Biases stay free, one an id.

    Args:
      catalogue: how many users and items, which of them training sees, and genres.
      rank: numbers in a tower's output.
      width: numbers in an embedding.
      widths: hidden units of a tower, layer by layer.
      l2: pulls the embeddings that a batch touches to zero; see `table_penalty`.
      l2_bias: the same of the biases.
      scale: standard deviation of an embedding's numbers at the start.

    Returns:
      A Recommender; its parameters are {"user", "item"} -> {"vector", "bias"}, the
      embeddings, and {"user_tower", "item_tower"}.

    Source:
      Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
      Recommendations", RecSys 2019. Differs from the paper: ratings are fitted by their
      squared error, so nothing is sampled, and vectors are not normalised.
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
