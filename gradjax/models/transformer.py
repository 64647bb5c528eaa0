"""Transformers: an encoder, a decoder and both together, of the same blocks.

Pre-norm: each part of a block adds to the stream what it makes of its normed copy
(Xiong et al., "On Layer Normalization in the Transformer Architecture", 2020).
"""

import flax.linen as nn
import jax

from gradjax.errors import Refusal
from gradjax.models.attention import Attention, no_mask, padding_mask, same_part
from gradjax.models.sequences import (
    dropout,
    embedding,
    example_lengths,
    example_tokens,
    from_tokens,
    mean_of_real,
    rows,
)
from gradjax.types import Model


class Block(nn.Module):
    """Attention to itself, to a memory if there is one, and a relu layer."""

    heads: int
    hidden: int  # units of the relu layer
    dropout: float = 0.0
    is_causal: bool = False

    @nn.compact
    def __call__(
        self,
        stream: jax.Array,
        mask: jax.Array,
        memory: jax.Array | None = None,
        memory_mask: jax.Array | None = None,
    ) -> jax.Array:
        """f32[batch, time, width] to the same; the masks as in `Attention`."""
        looks = Attention(self.heads, self.dropout, self.is_causal, name="self")
        stream = stream + looks(nn.LayerNorm()(stream), mask)
        if memory is not None and memory_mask is not None:
            looks = Attention(self.heads, self.dropout, name="cross")
            stream = stream + looks(nn.LayerNorm()(stream), memory_mask, memory)
        inner = nn.relu(rows(nn.Dense(self.hidden), nn.LayerNorm()(stream)))
        outer = rows(nn.Dense(stream.shape[-1]), inner)
        return stream + dropout(self, outer, self.dropout)


class Stack(nn.Module):
    """Blocks and a last norm: an encoder, or if it is causal a decoder."""

    depth: int
    heads: int
    hidden: int
    dropout: float = 0.0
    is_causal: bool = False

    @nn.compact
    def __call__(
        self,
        stream: jax.Array,
        mask: jax.Array,
        memory: jax.Array | None = None,
        memory_mask: jax.Array | None = None,
    ) -> jax.Array:
        """f32[batch, time, width] to the same, as `Block`."""
        stream = dropout(self, stream, self.dropout)
        for _ in range(self.depth):
            block = Block(self.heads, self.hidden, self.dropout, self.is_causal)
            stream = block(stream, mask, memory, memory_mask)
        return nn.LayerNorm()(stream)


class Vocabulary(nn.Module):
    """Tokens into the stream, and the stream back to tokens.

    Rows have length one and are scaled by sqrt(width), as in Vaswani et al. 2017; tied,
    the same rows are the output's weights (Press and Wolf 2017).
    """

    num_tokens: int
    width: int
    is_tied: bool

    def setup(self) -> None:
        """The table, and the output's own weights where they are not tied."""
        self.table = embedding(self, self.num_tokens, self.width)
        if not self.is_tied:
            self.dense = nn.Dense(self.num_tokens)

    def embed(self, tokens: jax.Array) -> jax.Array:
        """i32[batch, time] to f32[batch, time, width]."""
        return self.table[tokens] * self.width**0.5

    def logits(self, stream: jax.Array) -> jax.Array:
        """f32[batch, time, width] to f32[batch, time, num_tokens]."""
        return stream @ self.table.T if self.is_tied else self.dense(stream)


class EncoderDecoder(nn.Module):
    """A text read as a whole, and another one said token by token beside it."""

    num_source_tokens: int
    num_target_tokens: int
    width: int
    depth: int  # blocks of each half
    heads: int
    hidden: int
    dropout: float = 0.0
    is_tied: bool = True
    is_shared: bool = False  # one vocabulary, the target's, for both

    def setup(self) -> None:
        """Two vocabularies or one, two stacks."""
        sizes = (self.depth, self.heads, self.hidden, self.dropout)
        self.target = Vocabulary(self.num_target_tokens, self.width, self.is_tied)
        self.source = (
            self.target
            if self.is_shared
            else Vocabulary(self.num_source_tokens, self.width, is_tied=True)
        )
        self.encoder, self.decoder = Stack(*sizes), Stack(*sizes, is_causal=True)

    def __call__(
        self, source: jax.Array, lengths: jax.Array, target: jax.Array
    ) -> jax.Array:
        """Logits of each next target token, given those before it.

        Args:
          source: i32[batch, source time].
          lengths: i32[batch], of the source.
          target: i32[batch, time], from a begin token on.

        Returns:
          f32[batch, time, num_target_tokens]. Padding behind a target's end changes
          nothing before it, so only the loss need know of it.
        """
        return self.decode(self.encode(source, lengths), lengths, target)

    def packed(
        self,
        source: jax.Array,
        source_part: jax.Array,
        target: jax.Array,
        target_part: jax.Array,
    ) -> jax.Array:
        """As `__call__`, of rows that hold several pairs one behind the other.

        A place sees those of its own pair alone. Positions are rotary, so where a pair
        stands in its row changes nothing.

        Args:
          source: i32[batch, source time].
          source_part: of which pair each place is, i32[batch, source time]; 0: padding.
          target: i32[batch, time], each from a begin token on.
          target_part: as source_part, i32[batch, time].

        Returns:
          f32[batch, time, num_target_tokens].
        """
        mask = same_part(source_part, source_part)
        memory = self.encoder(self.source.embed(source), mask)
        mask = same_part(target_part, target_part)
        memory_mask = same_part(target_part, source_part)
        stream = self.target.embed(target)
        return self.target.logits(self.decoder(stream, mask, memory, memory_mask))

    def encode(self, source: jax.Array, lengths: jax.Array) -> jax.Array:
        """The memory f32[batch, source time, width]."""
        mask = padding_mask(lengths, source.shape[1])
        return self.encoder(self.source.embed(source), mask)

    def decode(
        self, memory: jax.Array, lengths: jax.Array, target: jax.Array
    ) -> jax.Array:
        """Logits f32[batch, time, num_target_tokens], given the memory."""
        memory_mask = padding_mask(lengths, memory.shape[1])
        stream = self.target.embed(target)
        stream = self.decoder(stream, no_mask(), memory, memory_mask)
        return self.target.logits(stream)


class _Language(nn.Module):
    num_tokens: int
    width: int
    stack: Stack
    is_tied: bool

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        vocabulary = Vocabulary(self.num_tokens, self.width, self.is_tied)
        stream = self.stack(vocabulary.embed(tokens), no_mask())
        return vocabulary.logits(stream)


class _Classifier(nn.Module):
    num_tokens: int
    num_classes: int
    width: int
    stack: Stack

    @nn.compact
    def __call__(self, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
        table = embedding(self, self.num_tokens, self.width)
        mask = padding_mask(lengths, tokens.shape[1])
        stream = self.stack(table[tokens] * self.width**0.5, mask)
        features = dropout(self, mean_of_real(stream, lengths), self.stack.dropout)
        return nn.Dense(self.num_classes)(features)


def check_heads(width: int, heads: int) -> None:
    """Refuses a width that does not split into heads of an even size.

    Raises:
      Refusal: the line has both numbers.
    """
    if width % (2 * heads):
        raise Refusal(f"width={width}: expected a multiple of 2 * heads={2 * heads}")


def decoder(
    num_tokens: int,
    width: int = 128,
    depth: int = 3,
    heads: int = 4,
    dropout: float = 0.0,
    tied: bool = True,
) -> Model:
    """A decoder: causal blocks with a relu layer of 4 * width units.

    Args:
      num_tokens: of the alphabet.
      width: of the stream, a multiple of 2 * heads.
      depth: blocks.
      heads: of each attention.
      dropout: of the embeddings and of what each part of a block adds.
      tied: the embeddings are the output's weights, too.

    Returns:
      A Model: apply(params, tokens i32[batch, time]) -> logits of the next token
      f32[batch, time, num_tokens].
    """
    check_heads(width, heads)
    stack = Stack(depth, heads, 4 * width, dropout, is_causal=True)
    return from_tokens(_Language(num_tokens, width, stack, tied), example_tokens())


def encoder(
    num_tokens: int,
    num_classes: int,
    width: int = 128,
    depth: int = 2,
    heads: int = 4,
    dropout: float = 0.2,
) -> Model:
    """An encoder, the mean over its real places, Dense.

    Args:
      num_tokens: of the tokenizer.
      num_classes: logits.
      width: of the stream, a multiple of 2 * heads.
      depth: blocks, each with a relu layer of 4 * width units.
      heads: of each attention.
      dropout: of the embeddings, of what each part of a block adds, and of the mean.

    Returns:
      A Model: apply(params, (tokens i32[batch, time], lengths i32[batch])) ->
      f32[batch, num_classes].
    """
    check_heads(width, heads)
    stack = Stack(depth, heads, 4 * width, dropout)
    module = _Classifier(num_tokens, num_classes, width, stack)
    return from_tokens(module, example_tokens(), example_lengths())
