"""Decoding of translations: greedy search and beam search.

A translation has at least one token and then END, which counts as one of its tokens.
(Without this rule beam search often prefers the empty translation.) It has at most
2 * (tokens of its source) + 10 tokens; at this limit only END is allowed. The
translation of a sentence therefore does not depend on the rest of the batch or on the
padding.

The score of a translation Y is its log-probability with a length penalty,
log P(Y | X) / lp(Y), lp(Y) = ((5 + |Y|) / 6)^alpha: Wu et al., "Google's Neural Machine
Translation System", 2016. Differs from the paper in that there is no coverage penalty.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradjax.data.tokens import BEGIN, END, PAD, UNKNOWN
from gradjax.types import Params

if TYPE_CHECKING:  # because flax would be a third of the time to import gradjax
    from gradjax.models.translator import Translator

ALPHA = 0.6  # 0 prefers short translations


class Found(NamedTuple):
    """One translation of each sentence."""

    tokens: jax.Array  # i32[batch, time], PAD after END
    scores: jax.Array  # f32[batch]


class _GreedyState(NamedTuple):
    """The loop state of greedy search."""

    place: jax.Array  # i32[], position of the next token
    tokens: jax.Array  # i32[batch, time]
    last: jax.Array  # i32[batch], the last token
    log_p: jax.Array  # f32[batch], of all tokens so far
    is_done: jax.Array  # bool[batch]
    grown: Any  # the translator's keys and values of the tokens so far


class _BeamState(NamedTuple):
    """The loop state of beam search."""

    place: jax.Array  # i32[], position of the next token
    tokens: jax.Array  # i32[batch, beams, time]
    last: jax.Array  # i32[batch, beams], the last token
    log_p: jax.Array  # f32[batch, beams]; -inf: there is no such beam yet
    best: Found  # the best finished translation
    is_done: jax.Array  # bool[batch]: no beam can become better than `best`
    grown: Any  # the translator's keys and values of the tokens so far


def most_tokens(lengths: Any) -> Any:
    """Returns the largest length of a translation, with END, for lengths of sources."""
    return 2 * lengths + 10


def penalty(num_tokens: Any, alpha: float) -> Any:
    """Computes the length penalty lp = ((5 + num_tokens) / 6)^alpha."""
    return ((5.0 + num_tokens) / 6.0) ** alpha


def greedy(
    translator: "Translator",
    params: Params,
    source: jax.Array,
    lengths: jax.Array,
    alpha: float = ALPHA,
) -> Found:
    """Translates by greedy search: every token is the most probable one.

    Args:
      translator: the model.
      params: parameters of the model.
      source: i32[batch, memory], tokens of the source sentences.
      lengths: i32[batch], lengths of the sources in tokens.
      alpha: exponent of the length penalty in the score.
    """
    batch, time = source.shape[0], most_tokens(source.shape[1])
    most = most_tokens(lengths)
    grown, stays = translator.start(params, source, lengths, 1, time)

    def step(carry: _GreedyState) -> _GreedyState:
        tokens = carry.last[:, None]
        logits, grown = translator.step(params, carry.grown, stays, tokens, carry.place)
        log_p = _mask_forbidden(jax.nn.log_softmax(logits), carry.place, most)[:, 0]
        last = jnp.where(carry.is_done, PAD, log_p.argmax(axis=-1)).astype(jnp.int32)
        added = jnp.where(carry.is_done, 0.0, log_p.max(axis=-1))
        return _GreedyState(
            place=carry.place + 1,
            tokens=carry.tokens.at[:, carry.place].set(last),
            last=last,
            log_p=carry.log_p + added,
            is_done=carry.is_done | (last == END),
            grown=grown,
        )

    start = _GreedyState(
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
    """Translates by beam search; a beam is the beginning of a translation.

    In each iteration every beam is extended by every token. An extension by END that is
    among the `num_beams` most probable ones is a finished translation; the most
    probable other extensions are the new beams. The search ends when no beam can reach
    the best score. The bound is log P / lp of the longest translation, because log P
    never increases and lp increases with the length.

    Args:
      translator: the model.
      params: parameters of the model.
      source: i32[batch, memory], tokens of the source sentences.
      lengths: i32[batch], lengths of the sources in tokens.
      num_beams: number of beams, static.
      alpha: exponent of the length penalty in the score.
    """
    batch, time = source.shape[0], most_tokens(source.shape[1])
    most = most_tokens(lengths)
    grown, stays = translator.start(params, source, lengths, num_beams, time)

    def step(carry: _BeamState) -> _BeamState:
        logits, grown = translator.step(
            params, carry.grown, stays, carry.last, carry.place
        )
        log_p = _mask_forbidden(jax.nn.log_softmax(logits), carry.place, most)
        total, origin, token = _likeliest(
            carry.log_p[:, :, None] + log_p, 2 * num_beams
        )
        best = _update_best(carry, total, origin, token, alpha)
        total, pick = jax.lax.top_k(jnp.where(token == END, -jnp.inf, total), num_beams)
        origin, token = (_gather(one, pick) for one in (origin, token))
        tokens = _gather(carry.tokens, origin).at[:, :, carry.place].set(token)
        bound = total[:, 0] / penalty(most.astype(jnp.float32), alpha)
        return _BeamState(
            place=carry.place + 1,
            tokens=tokens,
            last=token,
            log_p=total,
            best=best,
            is_done=carry.is_done | (best.scores >= bound),
            grown=jax.tree.map(lambda leaf: _gather(leaf, origin), grown),
        )

    nothing = jnp.full((batch, time), PAD, jnp.int32)
    start = _BeamState(
        place=jnp.int32(0),
        tokens=jnp.full((batch, num_beams, time), PAD, jnp.int32),
        last=jnp.full((batch, num_beams), BEGIN, jnp.int32),
        log_p=jnp.full((batch, num_beams), -jnp.inf).at[:, 0].set(0.0),
        best=Found(nothing, jnp.full(batch, -jnp.inf)),
        is_done=jnp.zeros(batch, bool),
        grown=grown,
    )
    return jax.lax.while_loop(lambda carry: ~carry.is_done.all(), step, start).best


def _mask_forbidden(log_p: jax.Array, place: jax.Array, most: jax.Array) -> jax.Array:
    """Sets the log-probability of forbidden tokens to -inf: f32[batch, beams, tokens].

    Of the special tokens only END is allowed, but not as the first token; at the
    largest length only END is allowed.
    """
    tokens = jnp.arange(log_p.shape[-1])[None, None]
    is_never = (tokens == PAD) | (tokens == UNKNOWN) | (tokens == BEGIN)
    is_never |= (tokens == END) & (place == 0)
    is_last = (place >= most - 1)[:, None, None]
    return jnp.where(is_never | (is_last & (tokens != END)), -jnp.inf, log_p)


def _likeliest(total: jax.Array, count: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Finds the `count` largest values of f32[batch, beams, tokens].

    Returns:
      (values, their beams, their tokens), each [batch, count].
    """
    batch, _, num_tokens = total.shape
    found, flat = jax.lax.top_k(total.reshape(batch, -1), count)
    return found, flat // num_tokens, (flat % num_tokens).astype(jnp.int32)


def _update_best(
    carry: _BeamState,
    total: jax.Array,
    origin: jax.Array,
    token: jax.Array,
    alpha: float,
) -> Found:
    """Updates the best translation with those that end at this position."""
    num_beams = carry.log_p.shape[1]
    is_ended = (token == END) & (jnp.arange(token.shape[1]) < num_beams)[None]
    scores = jnp.where(is_ended, total / penalty(carry.place + 1.0, alpha), -jnp.inf)
    k = scores.argmax(axis=1)[:, None]
    score, source = (_gather(one, k)[:, 0] for one in (scores, origin))
    said = _gather(carry.tokens, source[:, None])[:, 0]
    said = said.at[:, carry.place].set(END)
    is_better = (score > carry.best.scores) & ~carry.is_done
    tokens = jnp.where(is_better[:, None], said, carry.best.tokens)
    return Found(tokens, jnp.where(is_better, score, carry.best.scores))


def _gather(values: jax.Array, beams: jax.Array) -> jax.Array:
    """Gathers beams: [batch, beams, ...] at i32[batch, n] -> [batch, n, ...]."""
    places = beams.reshape(*beams.shape, *(1,) * (values.ndim - 2))
    return jnp.take_along_axis(values, places, axis=1)
