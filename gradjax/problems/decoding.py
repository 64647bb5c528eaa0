"""Saying a translation: the likeliest next token, or the likeliest of some beams.

A translation is one token at least and then END, which counts as one of its tokens. (To
say nothing is often what beams find likeliest.) It has at most 2 * (tokens of its
source) + 10; there END is all that is left to say. So what is said of a sentence
depends on it alone, whatever is beside it and however it is padded.

A translation Y is scored by its mean log-probability, of a kind:
log P(Y | X) / lp(Y), lp(Y) = ((5 + |Y|) / 6)^alpha. Wu et al., "Google's Neural Machine
Translation System", 2016. Differs from the paper in no coverage penalty.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradjax.data.tokens import BEGIN, END, PAD, UNKNOWN
from gradjax.types import Params

if TYPE_CHECKING:  # flax: a third of what importing gradjax would cost
    from gradjax.models.translator import Translator

ALPHA = 0.6  # 0 prefers short translations


class Found(NamedTuple):
    """One translation of each sentence."""

    tokens: jax.Array  # i32[batch, time], PAD behind END
    scores: jax.Array  # f32[batch]


class _One(NamedTuple):
    """What the greedy search carries from token to token."""

    place: jax.Array  # i32[]
    tokens: jax.Array  # i32[batch, time]
    last: jax.Array  # i32[batch]
    log_p: jax.Array  # f32[batch], of all tokens so far
    is_done: jax.Array  # bool[batch]
    grown: Any


class _Many(NamedTuple):
    """What the beam search carries from token to token."""

    place: jax.Array  # i32[]
    tokens: jax.Array  # i32[batch, beams, time]
    last: jax.Array  # i32[batch, beams]
    log_p: jax.Array  # f32[batch, beams]; -inf: there is no such beam yet
    best: Found  # of those that have ended
    is_done: jax.Array  # bool[batch]: no beam can still be better than the best
    grown: Any


def most_tokens(lengths: Any) -> Any:
    """Of a translation, END included: i32[batch] of the sources' lengths."""
    return 2 * lengths + 10


def penalty(num_tokens: Any, alpha: float) -> Any:
    """The lp of above."""
    return ((5.0 + num_tokens) / 6.0) ** alpha


def greedy(
    translator: "Translator",
    params: Params,
    source: jax.Array,
    lengths: jax.Array,
    alpha: float = ALPHA,
) -> Found:
    """The likeliest token each time.

    Args:
      translator: what is asked.
      params: its own.
      source: i32[batch, memory].
      lengths: i32[batch].
      alpha: of the score.
    """
    batch, time = source.shape[0], most_tokens(source.shape[1])
    most = most_tokens(lengths)
    grown, stays = translator.start(params, source, lengths, 1, time)

    def step(carry: _One) -> _One:
        tokens = carry.last[:, None]
        logits, grown = translator.step(params, carry.grown, stays, tokens, carry.place)
        log_p = _allowed(jax.nn.log_softmax(logits), carry.place, most)[:, 0]
        last = jnp.where(carry.is_done, PAD, log_p.argmax(axis=-1)).astype(jnp.int32)
        added = jnp.where(carry.is_done, 0.0, log_p.max(axis=-1))
        return _One(
            place=carry.place + 1,
            tokens=carry.tokens.at[:, carry.place].set(last),
            last=last,
            log_p=carry.log_p + added,
            is_done=carry.is_done | (last == END),
            grown=grown,
        )

    start = _One(
        place=jnp.int32(0),
        tokens=jnp.full((batch, time), PAD, jnp.int32),
        last=jnp.full(batch, BEGIN, jnp.int32),
        log_p=jnp.zeros(batch),
        is_done=jnp.zeros(batch, bool),
        grown=grown,
    )
    end = jax.lax.while_loop(lambda carry: ~carry.is_done.all(), step, start)
    num_tokens = (end.tokens != PAD).sum(axis=1)
    return Found(end.tokens, end.log_p / penalty(num_tokens, alpha))


def beam(
    translator: "Translator",
    params: Params,
    source: jax.Array,
    lengths: jax.Array,
    num_beams: int = 4,
    alpha: float = ALPHA,
) -> Found:
    """The best that some beams find, each the start of a translation.

    Each time every beam is continued by every token. A continuation by END that is
    among the `num_beams` likeliest is a translation; the likeliest others are the new
    beams. It is over when no beam can reach the best score: log P only falls, and lp
    grows to that of the longest.

    Args:
      translator: what is asked.
      params: its own.
      source: i32[batch, memory].
      lengths: i32[batch].
      num_beams: static.
      alpha: of the score.
    """
    batch, time = source.shape[0], most_tokens(source.shape[1])
    most = most_tokens(lengths)
    grown, stays = translator.start(params, source, lengths, num_beams, time)

    def step(carry: _Many) -> _Many:
        logits, grown = translator.step(
            params, carry.grown, stays, carry.last, carry.place
        )
        log_p = _allowed(jax.nn.log_softmax(logits), carry.place, most)
        total, origin, token = _likeliest(
            carry.log_p[:, :, None] + log_p, 2 * num_beams
        )
        best = _better(carry, total, origin, token, alpha)
        total, pick = jax.lax.top_k(jnp.where(token == END, -jnp.inf, total), num_beams)
        origin, token = (_picked(one, pick) for one in (origin, token))
        tokens = _picked(carry.tokens, origin).at[:, :, carry.place].set(token)
        bound = total[:, 0] / penalty(most.astype(jnp.float32), alpha)
        return _Many(
            place=carry.place + 1,
            tokens=tokens,
            last=token,
            log_p=total,
            best=best,
            is_done=carry.is_done | (best.scores >= bound),
            grown=jax.tree.map(lambda leaf: _picked(leaf, origin), grown),
        )

    nothing = jnp.full((batch, time), PAD, jnp.int32)
    start = _Many(
        place=jnp.int32(0),
        tokens=jnp.full((batch, num_beams, time), PAD, jnp.int32),
        last=jnp.full((batch, num_beams), BEGIN, jnp.int32),
        log_p=jnp.full((batch, num_beams), -jnp.inf).at[:, 0].set(0.0),
        best=Found(nothing, jnp.full(batch, -jnp.inf)),
        is_done=jnp.zeros(batch, bool),
        grown=grown,
    )
    return jax.lax.while_loop(lambda carry: ~carry.is_done.all(), step, start).best


def _allowed(log_p: jax.Array, place: jax.Array, most: jax.Array) -> jax.Array:
    """What may be said: of special tokens END, not at first, and alone at the limit."""
    tokens = jnp.arange(log_p.shape[-1])[None, None]
    is_never = (tokens == PAD) | (tokens == UNKNOWN) | (tokens == BEGIN)
    is_never |= (tokens == END) & (place == 0)
    is_last = (place >= most - 1)[:, None, None]
    return jnp.where(is_never | (is_last & (tokens != END)), -jnp.inf, log_p)


def _likeliest(total: jax.Array, count: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The likeliest of f32[batch, beams, tokens]: each total, its beam, its token."""
    batch, _, num_tokens = total.shape
    found, flat = jax.lax.top_k(total.reshape(batch, -1), count)
    return found, flat // num_tokens, (flat % num_tokens).astype(jnp.int32)


def _better(
    carry: _Many, total: jax.Array, origin: jax.Array, token: jax.Array, alpha: float
) -> Found:
    """The best translation, should one have ended now."""
    num_beams = carry.log_p.shape[1]
    is_ended = (token == END) & (jnp.arange(token.shape[1]) < num_beams)[None]
    scores = jnp.where(is_ended, total / penalty(carry.place + 1.0, alpha), -jnp.inf)
    k = scores.argmax(axis=1)[:, None]
    score, source = (_picked(one, k)[:, 0] for one in (scores, origin))
    said = _picked(carry.tokens, source[:, None])[:, 0]
    said = said.at[:, carry.place].set(END)
    is_better = (score > carry.best.scores) & ~carry.is_done
    tokens = jnp.where(is_better[:, None], said, carry.best.tokens)
    return Found(tokens, jnp.where(is_better, score, carry.best.scores))


def _picked(values: jax.Array, beams: jax.Array) -> jax.Array:
    """[batch, beams, ...] at i32[batch, picked]: [batch, picked, ...]."""
    places = beams.reshape(*beams.shape, *(1,) * (values.ndim - 2))
    return jnp.take_along_axis(values, places, axis=1)
