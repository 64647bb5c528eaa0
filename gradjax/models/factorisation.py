"""Biased matrix factorisation."""

import jax

from gradjax.models.recommender import (
    Catalogue,
    Recommender,
    Side,
    rows,
    table,
    table_penalty,
)
from gradjax.types import Key, Params


def factorisation(
    catalogue: Catalogue,
    rank: int = 32,
    l2: float = 0.12,
    l2_bias: float = 0.01,
    scale: float = 0.1,
) -> Recommender:
    """Makes a model with one vector and one bias for each user and each item.

    The predicted rating is mean + b_user + b_item + <p_user, q_item>.

    Args:
      catalogue: the users and items, and which of them have training ratings.
      rank: size of a vector.
      l2: penalty on the vectors in a batch, see `table_penalty`.
      l2_bias: penalty on the biases in a batch, see `table_penalty`.
      scale: standard deviation of the initial numbers of a vector.

    Returns:
      A Recommender; its parameters are {"user", "item"} -> {"vector", "bias"}.

    Source:
      Koren, Bell and Volinsky, "Matrix Factorization Techniques for Recommender
      Systems", Computer 42(8), 2009, equation 5.
    """

    def init(key: Key) -> Params:
        user_key, item_key = jax.random.split(key)
        return {
            "user": table(user_key, catalogue.seen_users, rank, scale),
            "item": table(item_key, catalogue.seen_items, rank, scale),
        }

    def user(params: Params, ids: jax.Array) -> Side:
        return Side(**rows(params["user"], ids))

    def item(params: Params, ids: jax.Array) -> Side:
        return Side(**rows(params["item"], ids))

    return Recommender(init, user, item, table_penalty(l2, l2_bias))
