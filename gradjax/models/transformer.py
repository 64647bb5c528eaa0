"""Transformers: an encoder, a decoder and an encoder-decoder, built from one block.

The blocks are pre-norm: the input of each sublayer is normalised and its output is
added to the stream, the residual connection (Xiong et al., "On Layer Normalization in
the Transformer Architecture", 2020).
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax

from gradjax.models import remat
from gradjax.models.attention import (
    Attention,
    check_heads,
    no_mask,
    padding_mask,
    same_part,
)
from gradjax.models.dropout import dropout
from gradjax.models.sequences import (
    embedding,
    example_lengths,
    example_tokens,
    from_tokens,
    mean_of_real,
    rows,
)
from gradjax.models.vocabulary import Vocabulary
from gradjax.types import Model


class Block(nn.Module):
    """Self-attention, attention to a memory if there is one, and a relu layer."""

    heads: int
    hidden: int  # units of the relu layer
    dropout: float = 0.0
    is_causal: bool = False
    query_scale: float = 1.0  # of self-attention

    @nn.compact
    def __call__(
        self,
        stream: jax.Array,
        mask: jax.Array,
        memory: jax.Array | None = None,
        memory_mask: jax.Array | None = None,
    ) -> jax.Array:
        """Maps f32[batch, time, width] to the same shape; masks as in `Attention`."""
        looks = Attention(
            self.heads, self.dropout, self.is_causal, self.query_scale, name="self"
        )
        stream = stream + looks(nn.LayerNorm()(stream), mask)
        if memory is not None and memory_mask is not None:
            looks = Attention(self.heads, self.dropout, name="cross")
            stream = stream + looks(nn.LayerNorm()(stream), memory_mask, memory)
        inner = nn.relu(rows(nn.Dense(self.hidden), nn.LayerNorm()(stream)))
        outer = rows(nn.Dense(stream.shape[-1]), inner)
        return stream + dropout(self, outer, self.dropout)


class Stack(nn.Module):
    """Blocks and a final LayerNorm: an encoder, or a decoder if it is causal."""

    depth: int
    heads: int
    hidden: int
    dropout: float = 0.0
    is_causal: bool = False
    query_scale: float = 1.0  # of self-attention

    @nn.compact
    def __call__(
        self,
        stream: jax.Array,
        mask: jax.Array,
        memory: jax.Array | None = None,
        memory_mask: jax.Array | None = None,
    ) -> jax.Array:
        """Maps f32[batch, time, width] to the same shape, as `Block` does."""
        stream = dropout(self, stream, self.dropout)
        sizes = (self.heads, self.hidden, self.dropout, self.is_causal)
        for k in range(self.depth):
            block = remat.layer(Block, f"Block_{k}")
            stream = block(*sizes, self.query_scale)(stream, mask, memory, memory_mask)
        return nn.LayerNorm()(stream)


class EncoderDecoder(nn.Module):
    """An encoder of a source text, and a causal decoder of a target text."""

    num_source_tokens: int
    num_target_tokens: int
    width: int
    depth: int  # blocks of the encoder, and of the decoder
    heads: int
    hidden: int
    dropout: float = 0.0
    is_tied: bool = True
    is_shared: bool = False  # whether source and target share one vocabulary

    def setup(self) -> None:
        """Makes the vocabularies, the encoder and the decoder."""
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
        """Computes the logits of each next target token, given those before it.

        Args:
          source: i32[batch, source time].
          lengths: i32[batch], lengths of the sources.
          target: i32[batch, time], beginning with a begin token.

        Returns:
          f32[batch, time, num_target_tokens]. The target needs no mask for its padding,
          because padding after the end does not change the outputs before it.
        """
        return self.decode(self.encode(source, lengths), lengths, target)

    def packed(
        self,
        source: jax.Array,
        source_part: jax.Array,
        target: jax.Array,
        target_part: jax.Array,
    ) -> jax.Array:
        """Computes the logits as `__call__` does, for rows with several pairs each.

        Attention is restricted to the same pair. Positions are rotary, so the result
        does not depend on the position of a pair in its row.

        Args:
          source: i32[batch, source time].
          source_part: i32[batch, source time], number of the pair; 0: padding.
          target: i32[batch, time]; each target begins with a begin token.
          target_part: i32[batch, time], number of the pair; 0: padding.

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
        """Computes the memory f32[batch, source time, width] of a source."""
        mask = padding_mask(lengths, source.shape[1])
        return self.encoder(self.source.embed(source), mask)

    def decode(
        self, memory: jax.Array, lengths: jax.Array, target: jax.Array
    ) -> jax.Array:
        """Computes logits f32[batch, time, num_target_tokens], given the memory."""
        memory_mask = padding_mask(lengths, memory.shape[1])
        stream = self.target.embed(target)
        stream = self.decoder(stream, no_mask(), memory, memory_mask)
        return self.target.logits(stream)


class _Language(nn.Module):
    num_tokens: int
    width: int
    stack: Stack
    is_tied: bool
    base: int | None = None

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        vocabulary = Vocabulary(self.num_tokens, self.width, self.is_tied, self.base)
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


def decoder(
    num_tokens: int,
    width: int = 128,
    depth: int = 3,
    heads: int = 4,
    dropout: float = 0.0,
    tied: bool = True,
) -> Model:
    """Makes a language model: a decoder of causal blocks, relu layers of 4 * width.

    Args:
      num_tokens: number of tokens of the alphabet.
      width: size of the stream, a multiple of 2 * heads.
      depth: number of blocks.
      heads: number of heads of each attention.
      dropout: dropout rate of the embeddings and of the output of each sublayer.
      tied: whether the embeddings are also the weights of the output layer.

    Returns:
      A Model: apply(params, tokens i32[batch, time]) -> logits of the next token
      f32[batch, time, num_tokens].

    Raises:
      Refusal: width is not a multiple of 2 * heads.
    """
    return _decoder(num_tokens, Stack(depth, heads, 4 * width, dropout, True), tied)


def _decoder(
    num_tokens: int, stack: Stack, tied: bool, base: int | None = None
) -> Model:
    """Makes a language model of a stack, whose relu layers have 4 * width units."""
    check_heads(width := stack.hidden // 4, stack.heads)
    module = _Language(num_tokens, width, stack, tied, base)
    return from_tokens(module, example_tokens())


def decoder_of_base(base: int) -> Callable[..., Model]:
    """Makes a function like `decoder`, with the multipliers of muP.

    At the width `base` it makes the network of `decoder`. Where the width, and so the
    size d of a head, is n times as large, the embeddings are multiplied by sqrt(base)
    still, the logits of attention by sqrt(d / n) / d, which is proportional to 1 / d,
    and tied logits by 1 / n.

    Source: Yang et al., "Tensor Programs V", 2022, definition 4.1.
    """

    @functools.wraps(decoder)
    def make(
        num_tokens: int,
        width: int = 128,
        depth: int = 3,
        heads: int = 4,
        dropout: float = 0.0,
        tied: bool = True,
    ) -> Model:
        stack = Stack(depth, heads, 4 * width, dropout, True, (base / width) ** 0.5)
        return _decoder(num_tokens, stack, tied, base)

    return make


def encoder(
    num_tokens: int,
    num_classes: int,
    width: int = 128,
    depth: int = 2,
    heads: int = 4,
    dropout: float = 0.2,
) -> Model:
    """Makes a classifier: an encoder, the mean over the tokens, Dense.

    Args:
      num_tokens: number of tokens of the tokenizer.
      num_classes: number of logits.
      width: size of the stream, a multiple of 2 * heads.
      depth: number of blocks, each with a relu layer of 4 * width units.
      heads: number of heads of each attention.
      dropout: dropout rate of the embeddings, of the output of each sublayer, and of
        the mean.

    Returns:
      A Model: apply(params, (tokens i32[batch, time], lengths i32[batch])) ->
      f32[batch, num_classes].

    Raises:
      Refusal: width is not a multiple of 2 * heads.
    """
    check_heads(width, heads)
    stack = Stack(depth, heads, 4 * width, dropout)
    module = _Classifier(num_tokens, num_classes, width, stack)
    return from_tokens(module, example_tokens(), example_lengths())
