"""Attention over sequences: who may see whom, rotary positions, heads."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gradjax.models.sequences import dropout, is_real, rows

_FAR = -1e9  # a logit of what must not be seen; finite, so that no row can be NaN
_SPLIT_FROM = 64  # places: shorter ones are not worth two products


def no_mask() -> jax.Array:
    """A mask that hides nothing: bool[1, 1, 1, 1]."""
    return jnp.ones((1, 1, 1, 1), bool)


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
    <rotated(q, m), rotated(k, n)> depends on m - n and not on m or n. The other half of
    each pair comes from a product with a signed permutation: on the CPU that is
    a third of what taking the halves apart and together costs, gradient included.

    Args:
      values: f32[..., d], d even.
      positions: of each vector, [...] with axes of size one where they are the same.

    Source:
      Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021.
      Differs from the paper in which coordinates are paired: the two halves.
    """
    half = values.shape[-1] // 2
    rates = 10_000.0 ** (-jnp.arange(half, dtype=jnp.float32) / half)
    rates = jnp.expand_dims(jnp.tile(rates, 2), tuple(range(positions.ndim)))
    angles = positions.astype(jnp.float32)[..., None] * rates
    one = np.eye(half, dtype=np.float32)
    turn = jnp.asarray(np.block([[0 * one, one], [-one, 0 * one]]))
    # One term a sum: exact in the highest precision, also where TF32 is the default.
    other = jnp.matmul(values, turn, precision=jax.lax.Precision.HIGHEST)
    return values * jnp.cos(angles) + other * jnp.sin(angles)


def attend(
    queries: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array
) -> jax.Array:
    """softmax(q k^T / sqrt(d)) v over what the mask lets be seen.

    The sum of the weights divides the result and not each of them: places * memory
    divisions become places * d, backward too.

    Args:
      queries: f32[batch, heads, places, d].
      keys: f32[batch, heads, memory, d].
      values: f32[batch, heads, memory, d].
      mask: bool, broadcast to [batch, heads, places, memory] from axes of size one.

    Returns:
      f32[batch, heads, places, d].

    Source:
      Vaswani et al., "Attention Is All You Need", 2017.
    """
    scale = queries.shape[-1] ** -0.5
    logits = jnp.einsum("bhqd,bhkd->bhqk", queries * scale, keys)
    logits = logits + jnp.where(mask, 0.0, _FAR)  # its gradient needs no second mask
    highest = jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
    weights = jnp.exp(logits - highest)
    mean = jnp.einsum("bhqk,bhkd->bhqd", weights, values)
    return mean / weights.sum(axis=-1, keepdims=True)


def attend_back(
    queries: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array
) -> jax.Array:
    """As `attend` with a mask that is causal, too, in less time.

    The first half of the places sees nothing of the second, so for it that is left out:
    a quarter of the work, and on the CPU of the time.
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
    """Heads that look at a memory: the sequence itself, or another one."""

    heads: int
    dropout: float = 0.0
    is_causal: bool = False  # no place sees what is behind it

    @nn.compact
    def __call__(
        self, inputs: jax.Array, mask: jax.Array, memory: jax.Array | None = None
    ) -> jax.Array:
        """One look.

        Args:
          inputs: f32[batch, time, width], whose places look.
          mask: bool, what each may see, broadcast to [batch, heads, time, memory]; of
            what is before it alone, if the attention is causal.
          memory: f32[batch, memory, width]; None: the inputs themselves, with rotary
            positions. (Places of two sequences have no distance.)

        Returns:
          f32[batch, time, width].
        """
        width = inputs.shape[-1]
        if memory is None:
            parts = self._heads(rows(nn.Dense(3 * width, name="qkv"), inputs), 3)
            positions = jnp.arange(inputs.shape[1])[None, :, None, None]
            turned, values = rotated(parts[:, :, :2], positions), parts[:, :, 2]
            queries, keys = turned[:, :, 0], turned[:, :, 1]
        else:
            queries = self._heads(rows(nn.Dense(width, name="q"), inputs), 1)[:, :, 0]
            parts = self._heads(rows(nn.Dense(2 * width, name="kv"), memory), 2)
            keys, values = parts[:, :, 0], parts[:, :, 1]
        looks = attend_back if self.is_causal and memory is None else attend
        queries, keys, values = (
            part.transpose(0, 2, 1, 3) for part in (queries, keys, values)
        )
        seen = looks(queries, keys, values, mask).transpose(0, 2, 1, 3)
        out = rows(nn.Dense(width, name="out"), seen.reshape(inputs.shape))
        return dropout(self, out, self.dropout)

    def _heads(self, values: jax.Array, num_parts: int) -> jax.Array:
        """f32[batch, time, parts * width] to [batch, time, parts, heads, d]."""
        return values.reshape(*values.shape[:2], num_parts, self.heads, -1)
