"""Consecutive windows of a long text, as the examples of a language model."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.data import arrays
from gradjax.data.plain_tokens import Tokens
from gradjax.errors import Refusal
from gradjax.types import Batch, Source


@dataclasses.dataclass(frozen=True)  # jax keeps weak references to functions
class Windows:
    """Takes consecutive windows of a text, each with the next window."""

    window: int  # tokens
    num_tokens: int  # of the split
    unknown_bytes: float  # as in `Tokens`

    def __call__(self, arrays: Any, indices: jax.Array) -> Batch:
        """Returns the windows of u32[batch] indices, from tokens on the device."""
        return self._taken(jnp, jnp.asarray(arrays["tokens"]), indices)

    def on_host(self, arrays: Any, indices: np.ndarray) -> Any:
        """Returns the same from tokens on the host, of which only these are read."""
        return self._taken(np, arrays["tokens"], indices)

    def _taken(self, xp: Any, tokens: Any, indices: Any) -> Any:
        start = indices.astype(xp.int32) * xp.int32(self.window)
        places = start[:, None] + xp.arange(2 * self.window + 1, dtype=xp.int32)[None]
        last = xp.int32(self.num_tokens)
        return {
            "tokens": tokens[xp.minimum(places, last)].astype(xp.int32),
            "num_left": last - start,
            "unknown_bytes": xp.full(start.shape, self.unknown_bytes, xp.float32),
        }


def source(part: Tokens, window: int) -> Source:
    """Makes the source of the windows of a split.

    Args:
      part: the tokens of the split.
      window: length of a window, in tokens.

    Raises:
      Refusal: a window could begin at a place that is no int32.
    """
    if part.num_tokens > (most := 2**31 - 1 - 2 * window):
        raise Refusal(
            f"a split of {part.num_tokens:,} tokens; expected at most {most:,}: give"
            " longer tokens (tokenizer='bpe' and vocab_size)"
        )
    take = Windows(window, part.num_tokens, part.unknown_bytes)
    tokens = {"tokens": arrays.placed(part.tokens)}
    return Source(-(-part.num_tokens // window), tokens, take)
