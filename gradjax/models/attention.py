"""Attention over sequences: who may see whom, rotary positions, heads."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gradjax.models.sequences import dropout, is_real, rows

_FAR = -1e9  # a logit of what must not be seen; finite, so that no row can be NaN


def padding_mask(lengths: jax.Array, time: int) -> jax.Array:
    """What may be seen of texts of these lengths: bool[batch, 1, 1, time]."""
    return is_real(lengths, time)[:, None, None]


def causal_mask(time: int) -> jax.Array:
    """Each place sees itself and what is before it: bool[1, 1, time, time]."""
    places = jnp.arange(time)
    return (places[None] <= places[:, None])[None, None]


def same_part(parts: jax.Array, other: jax.Array) -> jax.Array:
    """Places of one pair see each other where several pairs share a row.

    Args:
      parts: of which pair each place that looks is, i32[batch, time].
      other: the same of the places that are seen, i32[batch, memory].

    Returns:
      bool[batch, 1, time, memory]. Where nothing may be seen, as of padding beside a
      full row, `attend` gives some finite mean that nothing may use.
    """
    return (parts[:, :, None] == other[:, None])[:, None]


def rotated(values: jax.Array, positions: jax.Array) -> jax.Array:
    """Values turned by their position, so that products depend on distance alone.

    The pair (x_i, x_{i + d/2}) is turned by the angle position * 10000^(-2i/d), so
    <rotated(q, m), rotated(k, n)> depends on m - n and not on m or n.

    Args:
      values: f32[batch, heads, time, d], d even.
      positions: of each place, [time].

    Source:
      Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021.
      Differs from the paper in which coordinates are paired: the two halves.
    """
    half = values.shape[-1] // 2
    rates = 10_000.0 ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions.astype(jnp.float32)[:, None] * rates[None]
    cos, sin = (turn(angles)[None, None] for turn in (jnp.cos, jnp.sin))
    first, second = values[..., :half], values[..., half:]
    return jnp.concatenate(
        [first * cos - second * sin, second * cos + first * sin], axis=-1
    )


def attend(
    queries: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array
) -> jax.Array:
    """softmax(q k^T / sqrt(d)) v over what the mask lets be seen.

    Args:
      queries: f32[batch, heads, places, d].
      keys: f32[batch, heads, memory, d].
      values: f32[batch, heads, memory, d].
      mask: bool, broadcast to [batch, heads, places, memory] from axes of size one; at
        least one True in each row.

    Returns:
      f32[batch, heads, places, d].

    Source:
      Vaswani et al., "Attention Is All You Need", 2017.
    """
    scale = queries.shape[-1] ** -0.5
    logits = jnp.einsum("bhqd,bhkd->bhqk", queries * scale, keys)
    weights = jax.nn.softmax(jnp.where(mask, logits, _FAR), axis=-1)
    return jnp.einsum("bhqk,bhkd->bhqd", weights, values)


class Attention(nn.Module):
    """Heads that look at a memory: the sequence itself, or another one."""

    heads: int
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, inputs: jax.Array, mask: jax.Array, memory: jax.Array | None = None
    ) -> jax.Array:
        """One look.

        Args:
          inputs: f32[batch, time, width], whose places look.
          mask: bool, what each may see, broadcast to [batch, heads, time, memory].
          memory: f32[batch, memory, width]; None: the inputs themselves, with rotary
            positions. (Places of two sequences have no distance.)

        Returns:
          f32[batch, time, width].
        """
        width = inputs.shape[-1]
        if memory is None:
            parts = jnp.split(rows(nn.Dense(3 * width, name="qkv"), inputs), 3, axis=-1)
            queries, keys, values = (self._heads(part) for part in parts)
            positions = jnp.arange(inputs.shape[1])
            queries, keys = (rotated(part, positions) for part in (queries, keys))
        else:
            queries = self._heads(rows(nn.Dense(width, name="q"), inputs))
            parts = jnp.split(rows(nn.Dense(2 * width, name="kv"), memory), 2, axis=-1)
            keys, values = (self._heads(part) for part in parts)
        seen = attend(queries, keys, values, mask).transpose(0, 2, 1, 3)
        out = rows(nn.Dense(width, name="out"), seen.reshape(inputs.shape))
        return dropout(self, out, self.dropout)

    def _heads(self, values: jax.Array) -> jax.Array:
        """f32[batch, time, width] to [batch, heads, time, width / heads]."""
        batch, time, width = values.shape
        split = values.reshape(batch, time, self.heads, width // self.heads)
        return split.transpose(0, 2, 1, 3)
