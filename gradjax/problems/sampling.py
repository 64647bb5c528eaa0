"""Samples texts from a language model, token by token."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.data.byte_pairs import START
from gradjax.data.plain_tokens import Encoding
from gradjax.problems import arguments
from gradjax.types import Key, Model, Params

USUAL_TEMPERATURE = 0.8


class Sampling(NamedTuple):
    """How a token is drawn, from softmax(logits / temperature) of some tokens."""

    temperature: float = USUAL_TEMPERATURE  # values below 1 favour probable tokens
    top_k: int | None = None  # the most probable tokens; None: all of them


class _State(NamedTuple):
    tokens: jax.Array  # i32[window], the context
    num_drawn: jax.Array  # i32[], tokens
    num_characters: jax.Array  # f32[]
    drawn: jax.Array  # i32[num_characters]


def checked(temperature: float, top_k: int | None, num_tokens: int) -> Sampling:
    """Returns how to draw tokens.

    Args:
      temperature: from 0.001 to 1,000.
      top_k: from 1 to all tokens but START; None: all of them.
      num_tokens: of the model, with START.

    Raises:
      Refusal: a value is out of range.
    """
    heat = arguments.number("temperature", temperature, 1e-3, 1e3)
    if top_k is not None:
        top_k = arguments.whole("top_k", top_k, 1, num_tokens - 1)
    return Sampling(heat, top_k)


def sampler(
    model: Model,
    encoding: Encoding,
    window: int,
    num_characters: int,
    sampling: Sampling = Sampling(),  # noqa: B008  it is immutable
) -> Callable[[Params, str, int], str]:
    """Makes a function that samples a text from the model, token by token.

    Each token is drawn from softmax(logits / temperature) given the last `window`
    tokens, of which the first one is START. With top_k only the k most probable tokens
    are drawn, and those that are as probable as the last of them (Fan, Lewis and
    Dauphin, "Hierarchical Neural Story Generation", 2018). START is never drawn. The
    model is applied to the complete window for each token, so any causal model can be
    used.

    Args:
      model: apply(params, i32[1, window]) -> f32[1, window, num_tokens].
      encoding: the tokens with which the model was trained.
      window: length of the context, in tokens.
      num_characters: length of the sample. At most as many tokens are drawn, so tokens
        without a complete character make it shorter.
      sampling: the temperature and the number of tokens to draw from.

    Returns:
      A function (params, the text before the sample, seed of the draws) -> sample.
    """
    sizes = jnp.asarray(encoding.num_characters)

    def next_token(
        params: Params, key: Key, tokens: jax.Array, k: jax.Array
    ) -> jax.Array:
        last = jnp.minimum(k, window - 1)
        logits = model.apply(params, tokens[None])[0, last] / sampling.temperature
        logits = logits.at[START].set(-jnp.inf)
        if sampling.top_k is not None:
            least = jax.lax.top_k(logits, sampling.top_k)[0][-1]
            logits = jnp.where(logits < least, -jnp.inf, logits)
        found = jax.random.categorical(jax.random.fold_in(key, k), logits)
        return found.astype(tokens.dtype)

    @jax.jit
    def drawn(
        params: Params, tokens: jax.Array, first: jax.Array, seed: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        key = jax.random.key(seed)

        def is_short(state: _State) -> jax.Array:
            is_left = state.num_drawn < num_characters
            return is_left & (state.num_characters < num_characters)

        def draw(state: _State) -> _State:
            tokens, k = state.tokens, first + state.num_drawn
            found = next_token(params, key, tokens, k)
            grown = tokens.at[jnp.minimum(k + 1, window - 1)].set(found)
            slid = jnp.roll(tokens, -1).at[window - 1].set(found)
            return _State(
                jnp.where(k + 1 < window, grown, slid),
                state.num_drawn + 1,
                state.num_characters + sizes[found],
                state.drawn.at[state.num_drawn].set(found),
            )

        nothing = jnp.full(num_characters, START, jnp.int32)
        start = _State(tokens, jnp.int32(0), jnp.float32(0.0), nothing)
        end = jax.lax.while_loop(is_short, draw, start)
        return end.drawn, end.num_drawn

    def sample(params: Params, before: str, seed: int) -> str:
        said = encoding.encode(before)[-window:].astype(np.int32)
        tokens = np.pad(said, (0, window - len(said)), constant_values=START)
        first = np.int32(len(said) - 1)
        found, count = drawn(params, tokens, first, np.uint32(seed))
        return encoding.decode(np.asarray(found)[: int(count)].tolist())[
            :num_characters
        ]

    return sample
