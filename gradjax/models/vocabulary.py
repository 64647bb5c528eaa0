"""The embedding of the tokens of a Transformer, and its output layer."""

import flax.linen as nn
import jax

from gradjax.models.sequences import embedding


class Vocabulary(nn.Module):
    """The embedding of tokens, and the output layer.

    Embeddings have norm about one and are scaled by sqrt(width), as in Vaswani et al.
    2017. If the weights are tied, the embeddings are also the weights of the output
    layer (Press and Wolf 2017).

    With a width `base` the multipliers are those of muP: they are the same at this
    width, and of another width the embeddings are scaled by sqrt(base), and tied logits
    by base / width.
    """

    num_tokens: int
    width: int
    is_tied: bool
    base: int | None = None  # None: the standard multipliers

    def setup(self) -> None:
        """Makes the embeddings, and an output layer if the weights are not tied."""
        self.table = embedding(self, self.num_tokens, self.width)
        if not self.is_tied:
            self.dense = nn.Dense(self.num_tokens)

    def embed(self, tokens: jax.Array) -> jax.Array:
        """Embeds tokens: i32[batch, time] to f32[batch, time, width]."""
        return self.table[tokens] * (self.base or self.width) ** 0.5

    def logits(self, stream: jax.Array) -> jax.Array:
        """Computes logits: f32[batch, time, width] to f32[batch, time, num_tokens]."""
        if not self.is_tied:
            return self.dense(stream)
        if self.base is not None:
            stream = stream * (self.base / self.width)
        return stream @ self.table.T
