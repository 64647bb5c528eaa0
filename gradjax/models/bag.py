"""A bag of embeddings: a text classifier that ignores the order of the words."""

import flax.linen as nn
import jax

from gradjax.models.dropout import dropout
from gradjax.models.sequences import (
    embedding,
    example_lengths,
    example_tokens,
    from_tokens,
    mean_of_real,
)
from gradjax.types import Model


class _Bag(nn.Module):
    num_tokens: int
    num_classes: int
    width: int
    hidden: int
    dropout: float

    @nn.compact
    def __call__(self, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
        table = embedding(self, self.num_tokens, self.width)
        rows = dropout(self, table[tokens], self.dropout)
        features = mean_of_real(rows, lengths)
        if self.hidden:
            features = nn.relu(nn.Dense(self.hidden)(features))
            features = dropout(self, features, self.dropout)
        return nn.Dense(self.num_classes)(features)


def bag(
    num_tokens: int,
    num_classes: int,
    width: int = 256,
    hidden: int = 0,
    dropout: float = 0.3,
) -> Model:
    """Makes a model: the mean of a text's embeddings without padding, then Dense.

    Args:
      num_tokens: number of tokens of the tokenizer.
      num_classes: number of logits.
      width: size of an embedding.
      hidden: units of a relu layer in between; 0: none, a linear model of counts.
      dropout: dropout rate of the embeddings and of the relu layer.

    Returns:
      A Model: apply(params, (tokens i32[batch, time], lengths i32[batch])) ->
      f32[batch, num_classes].

    Source:
      Joulin, Grave, Bojanowski and Mikolov, "Bag of Tricks for Efficient Text
      Classification", 2016. Differs from the paper in that there are no n-grams.
    """
    module = _Bag(num_tokens, num_classes, width, hidden, dropout)
    return from_tokens(module, example_tokens(), example_lengths())
