"""Translating: exact sums, and saying token by token what the whole model says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.data import token_pairs
from gradjax.errors import Refusal
from gradjax.problems import bleu
from gradjax.problems import translation as problems

SMALL = "transformer(width=32, depth=1, heads=2, dropout=0.0)"
NOISY = SMALL.replace("0.0", "0.3")


def problem_of(toy, model=SMALL, smoothing=0.1):
    translator = problems.translation_model(model, toy[1].tokenizer.num_tokens)
    return problems.translation(*toy, translator, smoothing), translator


def batch_of(rows):
    return {name: jnp.asarray(values) for name, values in rows._asdict().items()}


def pairs_of(toy):
    """The test split as lists of numbers."""
    rows = toy[1].test
    sources = [s[p > 0] for s, p in zip(rows.source, rows.source_part, strict=True)]
    targets = [t[p > 0] for t, p in zip(rows.labels, rows.target_part, strict=True)]
    return sources, targets


@pytest.mark.slow
def test_a_dozen_pairs_are_learned_by_heart(learned):
    result, problem, _ = learned
    losses = result.trace["loss"].values
    assert losses[50] < losses[0] / 2
    report = problem.report(result.params, problem.data)
    assert report.figures["bleu"] > 90
    assert report.figures["greedy_bleu"] > 90
    lines = report.texts["translations of the test split"]
    assert lines[3:5] == ["cat big", "  -> big cat"]
    assert lines[4] == "  -> " + lines[5].removeprefix("  (it is: ").removesuffix(")")
    (how,) = report.texts["bleu"]
    assert how.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert how.endswith("4 beams, length penalty 0.6")


@pytest.mark.slow
def test_sharing_a_row_changes_no_sum(toy):
    """Nor does padding, or what stands in it; dropout is for training alone."""
    problem, _ = problem_of(toy, NOISY)
    params, given = jax.jit(problem.init)(jax.random.key(0)), pairs_of(toy)
    alone = token_pairs.rows_of(*given, [[k] for k in range(12)])
    shared = token_pairs.rows_of(*given, [[3, 0, 7, 1], [4, 2], [5, 6, 8, 9, 10, 11]])
    padded = token_pairs.Rows(*(np.pad(one, ((0, 0), (0, 5))) for one in shared))
    metrics = jax.jit(problem.metrics)
    key = jax.random.key(1)
    expected = metrics(params, batch_of(alone), key)
    count = sum(map(len, given[1]))
    found = metrics(params, batch_of(padded), key)
    for name in ("loss", "cross_entropy", "accuracy"):
        assert found[name][1] == expected[name][1] == count
        np.testing.assert_allclose(found[name][0], expected[name][0], rtol=1e-5)
    noise = np.where(alone.target_part > 0, alone.inputs, 7).astype(np.int32)
    other = metrics(params, batch_of(alone._replace(inputs=noise)), key)
    np.testing.assert_allclose(other["loss"][0], expected["loss"][0], rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_smoothed_cross_entropy(toy, smoothing):
    """Of a model whose parameters are its logits."""
    rows, num_tokens = toy[1].train, toy[1].tokenizer.num_tokens
    shape = (*rows.labels.shape, num_tokens)
    logits = np.random.default_rng(0).normal(size=shape)
    _, model = problem_of(toy)
    model = model._replace(apply=lambda params, _rows, _key=None: params)
    problem = problems.translation(*toy, model, smoothing)
    params = jnp.asarray(logits, jnp.float32)
    log_p = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    is_real, places = rows.target_part > 0, np.indices(rows.labels.shape)
    wanted = np.full(shape, smoothing / num_tokens)
    wanted[(*places, rows.labels)] += 1 - smoothing
    expected = {
        "loss": -(wanted * log_p).sum(axis=-1)[is_real],
        "cross_entropy": -log_p[(*places, rows.labels)][is_real],
        "accuracy": (log_p.argmax(axis=-1) == rows.labels)[is_real],
    }
    loss, aux = problem.loss(params, batch_of(rows), jax.random.key(0))
    assert loss == pytest.approx(expected["loss"].mean(), rel=1e-5)
    plain = expected["cross_entropy"].mean()
    assert aux["cross_entropy"] == pytest.approx(plain, rel=1e-5)
    measures = problem.metrics(params, batch_of(rows), jax.random.key(0))
    for name, (total, count) in measures.items():
        assert count == is_real.sum()
        assert total == pytest.approx(expected[name].sum(), rel=1e-5)


@pytest.mark.slow
def test_dropout_is_for_training_alone(toy):
    problem, _ = problem_of(toy, NOISY)
    params, batch = jax.jit(problem.init)(jax.random.key(0)), batch_of(toy[1].train)
    loss, metrics = jax.jit(problem.loss), jax.jit(problem.metrics)
    losses = [loss(params, batch, jax.random.key(k))[0] for k in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    one, two = (metrics(params, batch, jax.random.key(k)) for k in (0, 1))
    assert one["loss"][0] == two["loss"][0]


def test_bleu_is_sacrebleus():
    said = ["the cat sat on the mat", "a dog"]
    score, signature = bleu.score(said, said)
    assert score == pytest.approx(100.0) and "tok:13a" in signature
    assert bleu.score(["a cat sat on a mat", "dogs"], said)[0] < 30


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("transfomer", "unknown model 'transfomer'; did you mean 'transformer'"),
        ("transformer(widht=3)", "did you mean 'width'"),
        ("transformer(width=20, heads=4)", r"multiple of 2 \* heads=8"),
    ],
)
def test_what_is_no_translator_is_refused(expression, expected):
    with pytest.raises(Refusal, match=expected):
        problems.translation_model(expression, 11)


def test_a_smoothing_out_of_range_is_refused(toy):
    with pytest.raises(Refusal, match="label_smoothing=1.5: expected a number from 0"):
        problem_of(toy, smoothing=1.5)


def test_rows_are_described_as_pairs(toy):
    problem, _ = problem_of(toy)
    test = problem.data.test
    rows = jnp.arange(test.num_examples, dtype=jnp.uint32)
    lines = problem.describe(test.take(test.arrays, rows))
    translations, _ = toy
    said = translations.test.sources, translations.test.targets
    pairs = [f"{a} -> {b}" for a, b in zip(*said, strict=True)]
    assert sorted(" | ".join(lines).split(" | ")) == sorted(pairs)
