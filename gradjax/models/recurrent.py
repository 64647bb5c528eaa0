"""Networks of LSTM and GRU layers.

The inputs of all time steps are projected by one product before the scan; the scan has
only the product with the state (`models.cells`). If there are fewer different tokens
than positions in the batch, as with characters, the table of embeddings is projected
instead of the sequence, and the projected rows are gathered.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gradjax.models.cells import gru_states, lstm_states
from gradjax.models.dropout import dropout
from gradjax.models.sequences import (
    embedding,
    example_lengths,
    example_tokens,
    from_tokens,
    is_real,
    mean_of_real,
    part_of,
)
from gradjax.types import Model


def reversal(lengths: jax.Array, time: int) -> jax.Array:
    """Returns the indices that reverse each text and leave its padding in place.

    Args:
      lengths: i32[batch], in tokens, or i32[batch, parts], of consecutive texts.
      time: number of positions, with padding.

    Returns:
      i32[batch, time]: first + last - t for tokens of a text from `first` to `last`, t
      for padding. This permutation is its own inverse.
    """
    places = jnp.arange(time, dtype=lengths.dtype)[None]
    if lengths.ndim == 1:
        mirrored = lengths[:, None] - 1 - places
        return jnp.where(is_real(lengths, time), mirrored, places)
    part, ends = part_of(lengths, time), jnp.cumsum(lengths, axis=1)
    text = jnp.minimum(part, lengths.shape[1] - 1)  # of padding, any text
    sums = jnp.take_along_axis(2 * ends - lengths - 1, text, axis=1)
    return jnp.where(part < lengths.shape[1], sums - places, places)


def continues(lengths: jax.Array, time: int) -> jax.Array | None:
    """Returns 0 where a text begins after another one in a row, and 1 elsewhere.

    Args:
      lengths: i32[batch], or i32[batch, parts], of consecutive texts.
      time: number of positions, with padding.

    Returns:
      f32[batch, time]; None if each row is one text.
    """
    if lengths.ndim == 1:
        return None
    part = part_of(lengths, time)
    is_same = part[:, 1:] == part[:, :-1]
    return jnp.pad(is_same.astype(jnp.float32), ((0, 0), (1, 0)), constant_values=1.0)


class Recurrent(nn.Module):
    """A recurrent layer: f32[batch, time, features] to f32[batch, time, width]."""

    cell: str
    width: int

    @nn.compact
    def __call__(
        self,
        inputs: jax.Array,
        tokens: jax.Array | None = None,
        continues: jax.Array | None = None,
    ) -> jax.Array:
        """Computes the states at all positions.

        Args:
          inputs: f32[batch, time, features]; with `tokens`, f32[tokens, features].
          tokens: i32[batch, time], indices of rows of `inputs`.
          continues: f32[batch, time], for a GRU: 0 where the state begins anew, and 1
            elsewhere; None: it does so nowhere.
        """
        num_gates = 4 if self.cell == "lstm" else 3
        uniform = nn.initializers.uniform(2 * self.width**-0.5)
        shape = (self.width, num_gates * self.width)
        shift = self.width**-0.5  # uniform in [-1, 1] / sqrt(width), as in PyTorch
        kernel = self.param("kernel", lambda *a: uniform(*a) - shift, shape)
        dense = nn.Dense(num_gates * self.width, bias_init=_gate_bias(self.cell))
        if tokens is not None:
            projected = dense(inputs)[tokens.T]
        else:
            projected = dense(inputs.transpose(1, 0, 2))
        if self.cell == "lstm":
            states = lstm_states(projected, kernel)
        else:
            bias = self.param("bias", nn.initializers.zeros, (self.width,))
            if continues is not None:
                continues = continues.T[:, :, None].astype(projected.dtype)
            states = gru_states(projected, kernel, bias, continues)
        return states.transpose(1, 0, 2)


def _gate_bias(cell: str) -> Callable[..., jax.Array]:
    """Makes an initialiser of zeros, and ones for an LSTM's forget gate.

    Source: Jozefowicz et al. 2015.
    """

    def init(_key: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        quarter = shape[0] // 4
        zeros = jnp.zeros(shape, dtype)
        return zeros.at[quarter : 2 * quarter].set(1.0) if cell == "lstm" else zeros

    return init


class _Language(nn.Module):
    cell: str
    num_tokens: int
    width: int
    depth: int
    dropout: float

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        table = embedding(self, self.num_tokens, self.width)
        hidden = _first(Recurrent(self.cell, self.width), table, tokens)
        for _ in range(self.depth - 1):
            below = dropout(self, hidden, self.dropout)
            hidden = hidden + Recurrent(self.cell, self.width)(below)
        return nn.Dense(self.num_tokens)(dropout(self, hidden, self.dropout))


class _Classifier(nn.Module):
    num_tokens: int
    num_classes: int
    width: int
    dropout: float

    @nn.compact
    def __call__(self, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
        table = embedding(self, self.num_tokens, self.width)
        inputs = dropout(self, table[tokens], self.dropout)
        turned = reversal(lengths, tokens.shape[1])[:, :, None]
        same = continues(lengths, tokens.shape[1])
        forward = Recurrent("gru", self.width, name="forward")(inputs, None, same)
        backward = Recurrent("gru", self.width, name="backward")(
            jnp.take_along_axis(inputs, turned, axis=1), None, same
        )
        # The backward states stay reversed, because a mean does not depend on order.
        both = jnp.concatenate([forward, backward], axis=-1)
        features = dropout(self, mean_of_real(both, lengths), self.dropout)
        return nn.Dense(self.num_classes)(features)


def _first(layer: Recurrent, table: jax.Array, tokens: jax.Array) -> jax.Array:
    """Applies the layer to the embeddings of the tokens in the cheaper of two ways."""
    if table.shape[0] <= tokens.size:
        return layer(table, tokens)
    return layer(table[tokens])


def _language(
    cell: str, num_tokens: int, width: int, depth: int, dropout: float
) -> Model:
    module = _Language(cell, num_tokens, width, depth, dropout)
    return from_tokens(module, example_tokens())


def lstm(
    num_tokens: int, width: int = 256, depth: int = 1, dropout: float = 0.0
) -> Model:
    """Makes a language model: Embedding, LSTM layers, Dense.

    The layers after the first have residual connections.

    Args:
      num_tokens: number of tokens of the alphabet.
      width: size of the embedding and of each layer.
      depth: number of layers.
      dropout: dropout rate of the inputs of the Dense and of all layers but the first.

    Returns:
      A Model: apply(params, tokens i32[batch, time]) -> logits of the next token
      f32[batch, time, num_tokens]. The initial state is zero.
    """
    return _language("lstm", num_tokens, width, depth, dropout)


def gru(
    num_tokens: int, width: int = 256, depth: int = 1, dropout: float = 0.0
) -> Model:
    """Makes a language model as `lstm` does, with GRU layers."""
    return _language("gru", num_tokens, width, depth, dropout)


def bidirectional_gru(
    num_tokens: int, num_classes: int, width: int = 128, dropout: float = 0.3
) -> Model:
    """Makes a classifier: a GRU in each direction, the mean of their states, Dense.

    The backward GRU reads the tokens in reverse order; padding stays after them. In a
    row of several texts the state begins anew at each text.

    Args:
      num_tokens: number of tokens of the tokenizer.
      num_classes: number of logits.
      width: size of the embedding and of each GRU.
      dropout: dropout rate of the embeddings and of the mean.

    Returns:
      A Model: apply(params, (tokens i32[batch, time], lengths i32[batch])) ->
      f32[batch, num_classes]; lengths i32[batch, parts] give f32[batch, parts,
      num_classes].
    """
    module = _Classifier(num_tokens, num_classes, width, dropout)
    return from_tokens(module, example_tokens(), example_lengths())
