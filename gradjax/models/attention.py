"""Attention over sequences: masks, rotary positions and heads."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gradjax.errors import Refusal
from gradjax.models.dropout import dropout
from gradjax.models.sequences import is_real, part_of, rows

_FAR = -1e9  # the logit of a masked position; finite, so that no row can be NaN
_SPLIT_FROM = 64  # positions; for shorter sequences two products are not faster


def no_mask() -> jax.Array:
    """Returns a mask that allows all positions: bool[1, 1, 1, 1]."""
    return jnp.ones((1, 1, 1, 1), bool)


def padding_mask(lengths: jax.Array, time: int) -> jax.Array:
    """Returns a mask of tokens that are not padding: bool[batch, 1, 1, time].

    Lengths i32[batch, parts] of consecutive texts give bool[batch, 1, time, time], as
    `same_part` does.
    """
    if lengths.ndim == 2:
        parts = part_of(lengths, time)
        return same_part(parts, parts)
    return is_real(lengths, time)[:, None, None]


def causal_mask(time: int) -> jax.Array:
    """Returns a mask of each position and those before it: bool[1, 1, time, time]."""
    places = jnp.arange(time)
    return (places[None] <= places[:, None])[None, None]


def same_part(parts: jax.Array, other: jax.Array) -> jax.Array:
    """Returns a mask of positions in the same pair, for rows with several pairs.

    Args:
      parts: i32[batch, time], the number of the pair of each query.
      other: i32[batch, memory], the number of the pair of each key.

    Returns:
      bool[batch, 1, time, memory]. For a query without an allowed key, such as padding
      next to a full row, `attend` gives a finite mean that must not be used.
    """
    return (parts[:, :, None] == other[:, None])[:, None]


def rotate(values: jax.Array, positions: jax.Array) -> jax.Array:
    """Rotates vectors by their positions, so that inner products depend on distances.

    The pair (x_i, x_{i + d/2}) is rotated by the angle position * 10000^(-2i/d), so
    <rotate(q, m), rotate(k, n)> depends only on m - n. The two halves are exchanged
    by a product with a signed permutation matrix. On the CPU this takes a third of the
    time of splitting and concatenating them, with the gradient.

    Args:
      values: f32[..., d], d even.
      positions: position of each vector, [...]; axes of size one are broadcast.

    Returns:
      f32[..., d].

    Source:
      Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021.
      Differs from the paper in the pairs: x_i is paired with x_{i + d/2}, not with its
      neighbour.
    """
    half = values.shape[-1] // 2
    rates = 10_000.0 ** (-jnp.arange(half, dtype=jnp.float32) / half)
    rates = jnp.expand_dims(jnp.tile(rates, 2), tuple(range(positions.ndim)))
    angles = positions.astype(jnp.float32)[..., None] * rates
    one = np.eye(half, dtype=np.float32)
    turn = jnp.asarray(np.block([[0 * one, one], [-one, 0 * one]]))
    # Each sum has one nonzero term, so the product is exact in the highest precision,
    # which must be requested because the default may be TF32.
    other = jnp.matmul(
        values, turn.astype(values.dtype), precision=jax.lax.Precision.HIGHEST
    )
    cos, sin = (wave(angles).astype(values.dtype) for wave in (jnp.cos, jnp.sin))
    return values * cos + other * sin


def attend(
    queries: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array
) -> jax.Array:
    """Computes softmax(q k^T / sqrt(d)) v over the positions that the mask allows.

    The result is divided by the sum of the weights, instead of each weight. This needs
    time * d divisions instead of time * memory, also in the backward pass.

    Args:
      queries: f32[batch, heads, time, d].
      keys: f32[batch, heads, memory, d].
      values: f32[batch, heads, memory, d].
      mask: bool, broadcast to [batch, heads, time, memory] from axes of size one.

    Returns:
      f32[batch, heads, time, d].

    Source:
      Vaswani et al., "Attention Is All You Need", 2017.
    """
    scale = queries.shape[-1] ** -0.5
    logits = jnp.einsum("bhqd,bhkd->bhqk", queries * scale, keys)
    wide = jnp.promote_types(logits.dtype, jnp.float32)
    logits = logits.astype(wide)  # softmax in bfloat16 would lose small weights
    logits = logits + jnp.where(mask, 0.0, _FAR)  # its gradient needs no second mask
    highest = jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
    weights = jnp.exp(logits - highest)
    mean = jnp.einsum("bhqk,bhkd->bhqd", weights.astype(values.dtype), values)
    total = weights.sum(axis=-1, keepdims=True)
    return (mean / total).astype(values.dtype)


def attend_back(
    queries: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array
) -> jax.Array:
    """Computes causal attention: `attend` with the mask and the causal mask.

    The products of the first half of the queries with the second half of the keys are
    left out, because they are masked. This saves a quarter of the work, and on the CPU
    a quarter of the time.
    """
    time = queries.shape[2]
    half = time // 2 if time >= _SPLIT_FROM else 0
    mask = mask & causal_mask(time)
    mask = jnp.broadcast_to(mask, (*mask.shape[:2], time, time))
    parts = [(0, half), (half, time)] if half else [(0, time)]
    seen = [
        attend(
            queries[:, :, i:j], keys[:, :, :j], values[:, :, :j], mask[:, :, i:j, :j]
        )
        for i, j in parts
    ]
    return jnp.concatenate(seen, axis=2)


class Attention(nn.Module):
    """Multi-head attention to the sequence itself or to another one, the memory."""

    heads: int
    dropout: float = 0.0
    is_causal: bool = False  # whether positions after the query are masked
    query_scale: float = 1.0  # multiplies the queries, and so the logits

    @nn.compact
    def __call__(
        self, inputs: jax.Array, mask: jax.Array, memory: jax.Array | None = None
    ) -> jax.Array:
        """Applies the attention.

        Args:
          inputs: f32[batch, time, width], which give the queries.
          mask: bool, broadcast to [batch, heads, time, memory]; causal attention
            combines it with the causal mask.
          memory: f32[batch, memory, width], which gives keys and values; None: the
            inputs. Only then positions are rotary, because positions in two sequences
            have no distance.

        Returns:
          f32[batch, time, width].
        """
        width = inputs.shape[-1]
        if memory is None:
            parts = self._heads(rows(nn.Dense(3 * width, name="qkv"), inputs), 3)
            positions = jnp.arange(inputs.shape[1])[None, :, None, None]
            turned, values = rotate(parts[:, :, :2], positions), parts[:, :, 2]
            queries, keys = turned[:, :, 0], turned[:, :, 1]
        else:
            queries = self._heads(rows(nn.Dense(width, name="q"), inputs), 1)[:, :, 0]
            parts = self._heads(rows(nn.Dense(2 * width, name="kv"), memory), 2)
            keys, values = parts[:, :, 0], parts[:, :, 1]
        if self.query_scale != 1.0:
            queries = queries * self.query_scale
        looks = attend_back if self.is_causal and memory is None else attend
        queries, keys, values = (
            part.transpose(0, 2, 1, 3) for part in (queries, keys, values)
        )
        seen = looks(queries, keys, values, mask).transpose(0, 2, 1, 3)
        out = rows(nn.Dense(width, name="out"), seen.reshape(inputs.shape))
        return dropout(self, out, self.dropout)

    def _heads(self, values: jax.Array, num_parts: int) -> jax.Array:
        """Splits f32[batch, time, parts * width] to [batch, time, parts, heads, d]."""
        return values.reshape(*values.shape[:2], num_parts, self.heads, -1)


def check_heads(width: int, heads: int) -> None:
    """Refuses a width that cannot be divided into heads of an even size.

    Raises:
      Refusal: width is not a multiple of 2 * heads; the line has both numbers.
    """
    if width % (2 * heads):
        raise Refusal(f"width={width}: expected a multiple of 2 * heads={2 * heads}")
