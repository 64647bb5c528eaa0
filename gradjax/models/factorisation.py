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
    """A free vector and a free bias for each user and each item.

    Rating = mean + b_user + b_item + <p_user, q_item>.

    Args:
      catalogue: how many users and items, and which of them training sees.
      rank: numbers in a vector.
      l2: pulls the vectors that a batch touches to zero; see `table_penalty`.
      l2_bias: the same of the biases.
      scale: standard deviation of a vector's numbers at the start.

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
