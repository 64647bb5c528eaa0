"""Saying token by token, with what is kept, what the whole model says without."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.data import token_pairs
from gradjax.data.tokens import BEGIN, END, PAD, UNKNOWN
from gradjax.problems import decoding
from gradjax.problems import translation as problems

DEEP = "transformer(width=16, depth=2, heads=2, dropout=0.0)"


def problem_of(toy, model=DEEP, smoothing=0.1):
    translator = problems.translation_model(model, toy[1].tokenizer.num_tokens)
    return problems.translation(*toy, translator, smoothing), translator


def next_log_p(model, params, source, length):
    """log p of the next token after some, by the whole model, without a cache."""
    time, most = decoding.most_tokens(len(source)), decoding.most_tokens(length)
    source_part = (np.arange(len(source)) < length)[None].astype(np.int32)

    def found(said):
        inputs = np.full((1, time), PAD, np.int32)
        inputs[0, : len(said) + 1] = [BEGIN, *said]
        rows = source[None], source_part, inputs, np.ones((1, time), np.int32)
        logits = np.asarray(model.apply(params, rows), np.float64)[0, len(said)]
        log_p = logits - np.logaddexp.reduce(logits)
        log_p[[PAD, UNKNOWN, BEGIN, *([] if said else [END])]] = -np.inf
        if len(said) == most - 1:
            log_p[np.arange(len(log_p)) != END] = -np.inf
        return log_p

    return found, most


def slow_greedy(log_p_of):
    said, total = [], 0.0
    while END not in said:
        log_p = log_p_of(said)
        said.append(int(log_p.argmax()))
        total += log_p.max()
    return said, total / ((5 + len(said)) / 6) ** 0.6


def slow_beam(log_p_of, most, num_beams):
    beams, best = [(0.0, [])], ([], -np.inf)
    for _ in range(most):
        grown = []
        for total, said in beams:
            log_p = total + log_p_of(said)
            grown += [(log_p[v], [*said, v]) for v in range(len(log_p))]
        grown.sort(key=lambda one: -one[0])
        for total, said in grown[:num_beams]:
            score = total / ((5 + len(said)) / 6) ** 0.6
            if said[-1] == END and score > best[1]:
                best = said, score
        beams = [one for one in grown if one[1][-1] != END and one[0] > -np.inf]
        beams = beams[:num_beams]
    return best


def spoken(row):
    row = np.asarray(row).tolist()
    return row[: row.index(END) + 1]


def sources_of(toy, count):
    """Some sentences of different lengths, padded, and how long they are."""
    rows = toy[1].test
    lengths = (rows.source_part > 0).sum(axis=1).astype(np.int32)[:count]
    return rows.source[:count], lengths


def check_against_the_slow_ones(model, params, source, lengths):
    """Both searches with a cache, against both without."""
    plain = jax.jit(functools.partial(decoding.greedy, model))(params, source, lengths)
    beam = functools.partial(decoding.beam, model, num_beams=3)
    best = jax.jit(beam)(params, source, lengths)
    slow = model._replace(apply=jax.jit(model.apply))
    for row, length in enumerate(lengths):
        log_p_of, most = next_log_p(slow, params, source[row], length)
        said, score = slow_greedy(log_p_of)
        assert spoken(plain.tokens[row]) == said
        assert plain.scores[row] == pytest.approx(score, abs=2e-4)
        said, score = slow_beam(log_p_of, most, 3)
        assert spoken(best.tokens[row]) == said
        assert best.scores[row] == pytest.approx(score, abs=2e-4)
    assert best.scores.mean() >= plain.scores.mean() - 1e-5


@pytest.mark.slow
def test_with_and_without_a_cache(toy):
    """Of a random model whose opinions are decided, not all alike."""
    problem, model = problem_of(toy, DEEP)
    params = jax.jit(problem.init)(jax.random.key(3))
    params["target"]["embedding"] *= 4.0
    check_against_the_slow_ones(model, params, *sources_of(toy, 3))


@pytest.mark.slow
def test_with_and_without_a_cache_when_learned(toy, learned):
    result, _, model = learned
    check_against_the_slow_ones(model, result.params, *sources_of(toy, 5))


@pytest.mark.slow
def test_beams_find_what_is_better_than_greedy(toy):
    """Of 40 random models, none is worse for beams, and some are better."""
    problem, model = problem_of(toy, DEEP)
    source, lengths = sources_of(toy, 4)

    def both(key):
        params = problem.init(key)
        params["target"]["embedding"] *= 4.0
        one = decoding.greedy(model, params, source, lengths).scores
        return one, decoding.beam(model, params, source, lengths, 4).scores

    one, many = jax.jit(jax.vmap(both))(jax.random.split(jax.random.key(0), 40))
    gain = np.asarray(many - one)
    assert gain.mean() > 0.01
    assert (gain.mean(axis=1) > -1e-4).mean() > 0.9


@pytest.mark.slow
def test_neighbours_and_padding_change_no_translation(toy, learned):
    result, _, model = learned
    rows, tokenizer = toy[1].test, toy[1].tokenizer
    beam = functools.partial(decoding.beam, num_beams=2)
    together, scores = problems.translate(beam, model, tokenizer, result.params, rows)
    wide = token_pairs.Rows(*(np.pad(one, ((0, 0), (0, 17))) for one in rows))
    alone = token_pairs.Rows(*(one[2:3] for one in wide))
    text, score = problems.translate(beam, model, tokenizer, result.params, alone)
    assert text == together[2:3]
    np.testing.assert_allclose(score, scores[2:3], rtol=1e-4)
    assert together == toy[0].test.targets


def test_a_translation_ends_at_its_limit(toy):
    """Of a model that never wants to end."""
    _, model = problem_of(toy)

    def step(_params, grown, _stays, tokens, _place):
        num_tokens = toy[1].tokenizer.num_tokens
        logits = jnp.zeros(num_tokens).at[5].set(9.0).at[END].set(-9.0)
        return jnp.broadcast_to(logits[None, None], (*tokens.shape, num_tokens)), grown

    endless = model._replace(
        step=step,
        start=lambda _params, source, _lengths, num_beams, _time: (
            jnp.zeros((source.shape[0], num_beams, 1)),
            None,
        ),
    )
    source, lengths = np.ones((2, 4), np.int32), np.asarray([1, 4], np.int32)
    for found in (
        decoding.greedy(endless, {}, source, lengths),
        decoding.beam(endless, {}, source, lengths, 2),
    ):
        assert spoken(found.tokens[0]) == [5] * 11 + [END]
        assert spoken(found.tokens[1]) == [5] * 17 + [END]


@pytest.mark.slow
def test_something_is_said(toy):
    """By a model that always wants to end."""
    num_tokens = toy[1].tokenizer.num_tokens

    def step(_params, grown, _stays, tokens, _place):
        logits = jnp.zeros(num_tokens).at[5].set(2.0).at[END].set(99.0)
        return jnp.broadcast_to(logits[None, None], (*tokens.shape, num_tokens)), grown

    _, model = problem_of(toy)
    silent = model._replace(
        step=step,
        start=lambda _params, source, _lengths, num_beams, _time: (
            jnp.zeros((source.shape[0], num_beams, 1)),
            None,
        ),
    )
    source, lengths = np.ones((2, 4), np.int32), np.asarray([1, 4], np.int32)
    for search in (decoding.greedy, decoding.beam):
        for row in search(silent, {}, source, lengths).tokens:
            assert spoken(row) == [5, END]
