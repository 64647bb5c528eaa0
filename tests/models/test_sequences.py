"""Models of token sequences against what must hold of them, and against loops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.errors import Refusal
from gradjax.models import LANGUAGE_MODELS, TEXT_MODELS
from gradjax.models.attention import (
    attend,
    attend_back,
    causal_mask,
    padding_mask,
    rotate,
)
from gradjax.models.cells import gru_states, lstm_states
from gradjax.models.recurrent import continues, reversal
from gradjax.models.sequences import mean_of_real
from gradjax.models.transformer import EncoderDecoder

KEY = jax.random.key(0)
SMALL = {"width": 16, "dropout": 0.5}
LENGTHS = jnp.asarray([3, 1, 7], jnp.int32)


def drawn(name, *shape):
    rng = np.random.default_rng(list(map(ord, name)))
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def tokens_of(*shape):
    return jnp.asarray(np.random.default_rng(5).integers(1, 11, shape), jnp.int32)


@functools.cache
def text_model(name):
    """Parameters and the compiled model of texts, for all tests of this file."""
    return compiled(TEXT_MODELS[name](11, 4, **SMALL, **_shallow(name)))


@pytest.mark.parametrize("name", TEXT_MODELS)
@pytest.mark.slow
def test_a_text_has_the_same_logits_among_others_in_a_row(name):
    """Texts of 3, 1 and 7 tokens, alone, and in rows of 11 and of 8 positions."""
    params, apply = text_model(name)
    alone = tokens_of(3, 7)
    expected = np.asarray(apply(params, (alone, LENGTHS)))
    real = [alone[k, : LENGTHS[k]] for k in range(3)]
    filler = jnp.full(2, 5, jnp.int32)  # padding, which must not change anything
    row = jnp.concatenate([real[2], real[0], real[1], filler])[None]
    found = apply(params, (row, jnp.asarray([[7, 3, 1, 0]], jnp.int32)))
    assert found.shape == (1, 4, 4)
    np.testing.assert_allclose(found[0, :3], expected[[2, 0, 1]], rtol=2e-4, atol=2e-5)


@functools.cache
def language_model(name):
    untied = {"tied": False} if name == "transformer" else {}
    return compiled(LANGUAGE_MODELS[name](11, **SMALL, **_shallow(name), **untied))


def compiled(model):
    return jax.jit(model.init)(KEY), jax.jit(model.apply)


def _shallow(name):
    return {"depth": 1} if name == "transformer" else {}


@pytest.mark.parametrize("name", TEXT_MODELS)
@pytest.mark.slow
def test_padding_never_changes_a_text(name):
    params, apply = text_model(name)
    tokens = tokens_of(3, 7)
    out = apply(params, (tokens, LENGTHS))
    assert (out.shape, out.dtype) == ((3, 4), jnp.float32)
    real = np.arange(7)[None] < np.asarray(LENGTHS)[:, None]
    for filler in (0, 9):  # other values in the padding, then more of it
        other = jnp.where(real, tokens, filler)
        np.testing.assert_allclose(apply(params, (other, LENGTHS)), out, atol=1e-6)
        longer = jnp.pad(other, ((0, 0), (0, 5)), constant_values=filler)
        np.testing.assert_allclose(apply(params, (longer, LENGTHS)), out, atol=1e-5)
    alone = apply(params, (tokens[:1, :3], LENGTHS[:1]))
    np.testing.assert_allclose(alone, out[:1], atol=1e-5)
    changed = tokens.at[0, 2].set(tokens[0, 2] % 10 + 1)
    assert not np.allclose(apply(params, (changed, LENGTHS))[0], out[0])


@pytest.mark.parametrize("name", ["gru", "transformer"])
@pytest.mark.slow
def test_the_order_of_words_counts(name):
    params, apply = text_model(name)
    one, other = (
        apply(params, (jnp.asarray([row]), LENGTHS[:1]))
        for row in ([1, 2, 3], [3, 2, 1])
    )
    assert not np.allclose(one, other, atol=1e-4)


OF_LANGUAGE = [
    pytest.param(language_model, name, marks=[pytest.mark.slow] * (name != "lstm"))
    for name in LANGUAGE_MODELS
]


@pytest.mark.parametrize(
    ("made", "name"), [*((text_model, name) for name in TEXT_MODELS), *OF_LANGUAGE]
)
@pytest.mark.slow
def test_dropout_needs_a_key(made, name):
    params, apply = made(name)
    tokens = tokens_of(3, 7)
    inputs = (tokens, LENGTHS) if made is text_model else tokens
    plain = apply(params, inputs)
    one, same, other = (apply(params, inputs, jax.random.key(k)) for k in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, plain) and not np.allclose(one, other)


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
@pytest.mark.slow
def test_no_place_sees_what_comes_after_it(name):
    """Not even by its gradient: that of place 4's output in the embedding of token 9,
    which stands behind it alone, is zero, and of token 8 before it is not."""
    params, apply = language_model(name)
    tokens = tokens_of(3, 7).at[0].set(jnp.asarray([1, 8, 2, 3, 4, 9, 9]))
    out = apply(params, tokens)
    assert (out.shape, out.dtype) == ((3, 7, 11), jnp.float32)
    cut = apply(params, tokens[:, :5])
    np.testing.assert_allclose(out[:, :5], cut, atol=1e-5)

    grads = jax.jit(jax.grad(lambda params: apply(params, tokens)[0, 4].sum()))(params)
    (table,) = (
        leaf
        for path, leaf in jax.tree.leaves_with_path(grads)
        if "embedding" in jax.tree_util.keystr(path)
    )
    assert np.abs(table[9]).max() == 0.0
    assert np.abs(table[8]).max() > 1e-6


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_lstm_is_its_loop():
    time, batch, width = 5, 2, 3
    x, kernel = drawn("x", time, batch, 4 * width), drawn("w", width, 4 * width)
    hidden = cell = np.zeros((batch, width))
    expected = []
    for t in range(time):
        i, f, o, u = np.split(np.asarray(x[t]) + hidden @ np.asarray(kernel), 4, axis=1)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(u)
        hidden = sigmoid(o) * np.tanh(cell)
        expected.append(hidden)
    states = jax.jit(lstm_states)(x, kernel)
    np.testing.assert_allclose(states, expected, atol=1e-5)


def test_gru_is_its_loop():
    time, batch, width = 5, 2, 3
    x, kernel = drawn("x", time, batch, 3 * width), drawn("w", width, 3 * width)
    bias = drawn("b", width)
    hidden, expected = np.zeros((batch, width)), []
    for t in range(time):
        xr, xz, xn = np.split(np.asarray(x[t]), 3, axis=1)
        hr, hz, hn = np.split(hidden @ np.asarray(kernel), 3, axis=1)
        r, z = sigmoid(xr + hr), sigmoid(xz + hz)
        n = np.tanh(xn + r * (hn + np.asarray(bias)))
        hidden = (1 - z) * n + z * hidden
        expected.append(hidden)
    states = jax.jit(gru_states)(x, kernel, bias)
    np.testing.assert_allclose(states, expected, atol=1e-5)


def test_only_real_tokens_are_reversed():
    places = reversal(jnp.asarray([4, 1, 3]), 4)
    np.testing.assert_array_equal(places, [[3, 2, 1, 0], [0, 1, 2, 3], [2, 1, 0, 3]])
    np.testing.assert_array_equal(
        jnp.take_along_axis(places, places, axis=1), np.tile(np.arange(4), (3, 1))
    )


def test_each_text_of_a_row_is_reversed_and_begins_anew():
    lengths = jnp.asarray([[2, 3, 0], [1, 0, 0]], jnp.int32)
    np.testing.assert_array_equal(
        reversal(lengths, 6), [[1, 0, 4, 3, 2, 5], [0, 1, 2, 3, 4, 5]]
    )
    np.testing.assert_array_equal(
        continues(lengths, 6), [[1, 1, 0, 1, 1, 0], [1, 0, 1, 1, 1, 1]]
    )
    assert continues(lengths[:, 0], 6) is None


@pytest.mark.slow
def test_few_tokens_or_many_give_one_recurrent_network():
    """The table is projected, or the sequence: 11 tokens and 3 * 7 places, or 1 * 5."""
    model = LANGUAGE_MODELS["lstm"](11, width=16, depth=2)
    params, tokens = jax.jit(model.init)(KEY), tokens_of(3, 7)
    many = jax.jit(model.apply)(params, tokens)
    few = jax.jit(model.apply)(params, tokens[1:2, :5])
    np.testing.assert_allclose(few, many[1:2, :5], atol=1e-5)


def test_the_mean_is_of_real_tokens_alone():
    values = drawn("v", 3, 7, 2).at[0, 3:].set(jnp.inf)
    mean, values = jax.jit(mean_of_real)(values, LENGTHS), np.asarray(values)
    for row, length in enumerate(LENGTHS.tolist()):
        np.testing.assert_allclose(
            mean[row], values[row, :length].mean(axis=0), atol=1e-6
        )


def test_rotary_products_depend_on_the_distance_alone():
    q, k = drawn("q", 1, 8), drawn("k", 1, 8)
    compiled_rotate = jax.jit(rotate)

    def product(m, n):
        return float(
            (
                compiled_rotate(q, jnp.asarray([m]))
                * compiled_rotate(k, jnp.asarray([n]))
            ).sum()
        )

    assert product(0, 0) == pytest.approx(float((q * k).sum()), abs=1e-5)
    for shift in (1, 7, 40):
        assert product(5 + shift, 2 + shift) == pytest.approx(product(5, 2), abs=1e-4)
    assert abs(product(2, 5) - product(5, 2)) > 1e-2
    assert abs(product(5, 2) - product(5, 3)) > 1e-2
    np.testing.assert_allclose(
        np.linalg.norm(compiled_rotate(q, jnp.asarray([9]))),
        np.linalg.norm(q),
        rtol=1e-5,
    )


@pytest.mark.parametrize("time", [4, 64, 67])  # short and long, even and odd
def test_attention_is_its_loop(time):
    q, k, v = (drawn(name, 2, 3, time, 6) for name in "qkv")
    lengths = np.asarray([time, 2])
    mask = padding_mask(jnp.asarray(lengths), time)
    found = jax.jit(attend_back)(q, k, v, mask)
    at_once = jax.jit(attend)(q, k, v, mask & causal_mask(time))
    q, k, v, found = map(np.asarray, (q, k, v, found))
    np.testing.assert_allclose(found, at_once, atol=1e-6)
    for b, h, t in np.ndindex(2, 3, time):
        seen = [s for s in range(t + 1) if s < lengths[b]]
        weights = np.exp([q[b, h, t] @ k[b, h, s] / np.sqrt(6) for s in seen])
        mixed = v[b, h][seen].T @ (weights / weights.sum())
        np.testing.assert_allclose(found[b, h, t], mixed, atol=1e-5)


@pytest.fixture(scope="module")
def encoder_decoder():
    """(module, params, the compiled function) of both halves together."""
    module = EncoderDecoder(11, 13, 16, 1, 2, 32)
    args = tokens_of(3, 7), LENGTHS, tokens_of(3, 5)
    return module, jax.jit(module.init)(KEY, *args), jax.jit(module.apply)


@pytest.mark.slow
def test_a_decoder_looks_at_the_real_source_and_not_ahead(encoder_decoder):
    _, params, apply = encoder_decoder
    source, target = tokens_of(3, 7), tokens_of(3, 5)
    out = apply(params, source, LENGTHS, target)
    assert out.shape == (3, 5, 13)
    real = jnp.arange(7)[None] < LENGTHS[:, None]
    other = apply(params, jnp.where(real, source, 0), LENGTHS, target)
    np.testing.assert_allclose(other, out, atol=1e-5)
    later = apply(params, source, LENGTHS, target.at[:, 3:].set(1))
    np.testing.assert_allclose(later[:, :3], out[:, :3], atol=1e-5)
    assert not np.allclose(later[:, 3:], out[:, 3:], atol=1e-3)
    changed = apply(params, source.at[:, 0].set(10 - source[:, 0]), LENGTHS, target)
    assert not np.allclose(changed, out, atol=1e-3)


@pytest.mark.slow
def test_a_decoder_may_be_asked_after_the_encoder(encoder_decoder):
    module, params, apply = encoder_decoder
    source, target = tokens_of(3, 7), tokens_of(3, 5)
    encode, decode = (
        jax.jit(functools.partial(module.apply, method=name))
        for name in ("encode", "decode")
    )
    two = decode(params, encode(params, source, LENGTHS), LENGTHS, target)
    np.testing.assert_allclose(two, apply(params, source, LENGTHS, target), atol=1e-5)


def test_heads_must_divide_the_width():
    for factory, given in ((TEXT_MODELS, (11, 4)), (LANGUAGE_MODELS, (11,))):
        with pytest.raises(Refusal, match=r"width=20: .* multiple of 2 \* heads=8"):
            factory["transformer"](*given, width=20, heads=4)
