"""Networks of LSTM and GRU layers.

The projection of the inputs is one product before the scan, over all steps at once; in
the scan there is only the product with the state (`models.cells`). Where there are
fewer different tokens than places in the batch, as with characters, the table of
embeddings is projected instead of the sequence, and the projected rows are gathered.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gradjax.models.cells import gru_states, lstm_states
from gradjax.models.sequences import (
    dropout,
    embedding,
    example_lengths,
    example_tokens,
    from_tokens,
    is_real,
    mean_of_real,
)
from gradjax.types import Model


def reversal(lengths: jax.Array, time: int) -> jax.Array:
    """Where each place of a text stands when only its real tokens are reversed.

    Args:
      lengths: i32[batch].
      time: places, padding included.

    Returns:
      i32[batch, time]: lengths - 1 - t at real tokens, t in the padding. It is its own
      inverse.
    """
    places = jnp.arange(time, dtype=lengths.dtype)[None]
    mirrored = lengths[:, None] - 1 - places
    return jnp.where(is_real(lengths, time), mirrored, places)


class Recurrent(nn.Module):
    """One layer: f32[batch, time, features] to f32[batch, time, width]."""

    cell: str
    width: int

    @nn.compact
    def __call__(self, inputs: jax.Array, tokens: jax.Array | None = None) -> jax.Array:
        """The states at every place.

        Args:
          inputs: f32[batch, time, features]; with `tokens`, f32[tokens, features].
          tokens: i32[batch, time], rows of `inputs`.
        """
        num_gates = 4 if self.cell == "lstm" else 3
        uniform = nn.initializers.uniform(2 * self.width**-0.5)
        shape = (self.width, num_gates * self.width)
        shift = self.width**-0.5  # uniform in [-1, 1] / sqrt(width), as PyTorch starts
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
            states = gru_states(projected, kernel, bias)
        return states.transpose(1, 0, 2)


def _gate_bias(cell: str) -> Callable[..., jax.Array]:
    """Zeros, and one for an LSTM's forget gate (Jozefowicz et al. 2015)."""

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
        forward = Recurrent("gru", self.width, name="forward")(inputs)
        backward = Recurrent("gru", self.width, name="backward")(
            jnp.take_along_axis(inputs, turned, axis=1)
        )
        # Both in the text's order would need a second reversal; a mean does not care.
        both = jnp.concatenate([forward, backward], axis=-1)
        features = dropout(self, mean_of_real(both, lengths), self.dropout)
        return nn.Dense(self.num_classes)(features)


def _first(layer: Recurrent, table: jax.Array, tokens: jax.Array) -> jax.Array:
    """The layer over the embeddings of the tokens, by the cheaper of two ways."""
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
    """Embedding, LSTM layers with residual connections from the second on, Dense.

    Args:
      num_tokens: of the alphabet.
      width: of the embedding and of each layer.
      depth: layers.
      dropout: of what each layer but the first takes, and the Dense.

    Returns:
      A Model: apply(params, tokens i32[batch, time]) -> logits of the next token
      f32[batch, time, num_tokens]. The state starts at zero.
    """
    return _language("lstm", num_tokens, width, depth, dropout)


def gru(
    num_tokens: int, width: int = 256, depth: int = 1, dropout: float = 0.0
) -> Model:
    """As `lstm`, of GRU layers."""
    return _language("gru", num_tokens, width, depth, dropout)


def bidirectional_gru(
    num_tokens: int, num_classes: int, width: int = 128, dropout: float = 0.3
) -> Model:
    """A GRU from the left and one from the right, the mean of their states, Dense.

    The one from the right reads the real tokens in reverse; padding stays behind them.

    Args:
      num_tokens: of the tokenizer.
      num_classes: logits.
      width: of the embedding and of each direction.
      dropout: of the embeddings and of the mean.

    Returns:
      A Model: apply(params, (tokens i32[batch, time], lengths i32[batch])) ->
      f32[batch, num_classes].
    """
    module = _Classifier(num_tokens, num_classes, width, dropout)
    return from_tokens(module, example_tokens(), example_lengths())
