"""Texts to classes and characters to the next one: the contract, and exact counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax.data import byte_pairs, packed_texts, pieces, plain_tokens, tokens
from gradjax.data.strings import LabelledTexts, Part, PlainText
from gradjax.errors import Refusal
from gradjax.models import LANGUAGE_MODELS, TEXT_MODELS
from gradjax.problems import language as languages
from gradjax.problems import sampling
from gradjax.problems import text as classify
from gradjax.types import Model

SMALL = {
    "bag": "bag(width=16, dropout=0.1)",
    "gru": "gru(width=16, dropout=0.1)",
    "lstm": "lstm(width=16)",
    "transformer": "transformer(width=16, depth=1, heads=2, dropout=0.1)",
}
STORY = "the cat sat on the mat. a dog sat on a log! " * 12


def names(registry, quick):
    """Compiling the step of a network takes seconds."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] * (name != quick))
        for name in sorted(registry)
    ]


def labelled():
    """Texts whose first word says the class."""
    words = ("alpha", "beta", "gamma")

    def part(count, start):
        numbers = range(start, start + count)
        said = [f"{words[k % 3]} " + "and more " * (k % 4) for k in numbers]
        return Part(said, np.asarray([k % 3 for k in numbers], np.int32))

    parts = part(60, 0), part(9, 60), part(12, 69)
    return LabelledTexts("toy", *parts, words, "a fingerprint", "here")


@pytest.fixture(scope="module")
def texts():
    dataset = labelled()
    return dataset, tokens.tokenize(dataset, "word", 50, 20)


def story():
    return PlainText("story", STORY, STORY[:70], "the zebra sat.", "f", "here")


def text_problem(texts, name):
    dataset, tokenized = texts
    sizes = tokenized.tokenizer.num_tokens, len(dataset.class_names)
    return classify.text(*texts, classify.text_model(SMALL[name], *sizes))


def language_problem(name, window=16):
    num_tokens = len(pieces.alphabet(STORY)) + 1
    model = languages.language_model(SMALL[name], num_tokens)
    return languages.language(story(), model, window)


def one_batch(problem, size=8):
    source = problem.data.train
    return source.take(source.arrays, jnp.arange(size, dtype=jnp.uint32))


def learns(problem, rate):
    """The loss on one batch before and after 50 steps, without dropout's noise."""
    batch = one_batch(problem)
    fixed = problem._replace(data=gradjax.types.Splits(_source(batch)), report=None)
    program = gradjax.program(fixed, f"adam({rate})", num_steps=50, batch_size=8)
    result = gradjax.run(program)
    return result.trace["loss"].values[0], result.evaluation["train"]["loss"]


def _source(batch):
    from gradjax.data import arrays

    return arrays.source(batch)


@pytest.mark.slow
@pytest.mark.parametrize("name", names(TEXT_MODELS, "bag"))
def test_a_classifier_halves_its_loss_on_one_batch(texts, name):
    before, after = learns(text_problem(texts, name), 3e-2)
    assert after < before / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", names(LANGUAGE_MODELS, "gru"))
def test_a_language_model_halves_its_loss_on_one_batch(name):
    before, after = learns(language_problem(name), 1e-2)
    assert after < before / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bag", "gru"])
def test_rows_of_several_texts_measure_the_same_texts(texts, name):
    """The sums over a split are those of texts that are alone in their rows."""
    dataset, tokenized = texts
    sizes = tokenized.tokenizer.num_tokens, len(dataset.class_names)
    model = classify.text_model(SMALL[name], *sizes)
    alone = classify.text(dataset, tokenized, model)
    packed = classify.text(dataset, tokenized, model, packed_texts.pack(tokenized))
    params, key = model.init(jax.random.key(0)), jax.random.key(1)
    for split in ("train", "validation"):
        sources = [getattr(one.data, split) for one in (alone, packed)]
        few, many = sources[1].num_examples, sources[0].num_examples
        assert few < many
        found = [
            one.metrics(params, source.take(source.arrays, jnp.arange(count)), key)
            for one, source, count in zip(
                (alone, packed), sources, (many, few), strict=True
            )
        ]
        for name in ("loss", "accuracy"):
            np.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-5)
            assert found[0][name][1] == many
    batch = sources[1].take(sources[1].arrays, jnp.arange(few))
    loss, aux = packed._replace(apply=None).loss(params, batch, key)
    assert np.isfinite(loss) and 0 <= aux["accuracy"] <= 1
    before, after = learns(packed, 3e-2)
    assert after < before / 2


def test_a_network_of_ones_own_is_not_given_several_texts():
    with pytest.raises(Refusal, match="reads one text in each row; expected bag or g"):
        classify.load(model="my.module:net", packed=True)


@pytest.mark.slow
def test_a_report_says_what_the_classes_are(texts):
    problem = text_problem(texts, "bag")
    params = problem.init(jax.random.key(0))
    report = problem.report(jax.tree.map(np.asarray, params), problem.data)
    (lines,) = report.texts.values()
    assert len(lines) == 5 and lines[0].startswith("alpha")
    assert any(f" -> {word}" in lines[0] for word in ("alpha", "beta", "gamma"))


def test_a_sample_is_made_of_the_alphabet():
    """By a model that always says the next letter of the alphabet, and goes around."""
    encoding = plain_tokens.of_characters("abc")

    def apply(_params, inputs, _key=None):
        return 50.0 * jax.nn.one_hot(inputs % 3 + 1, 4)

    model = Model(lambda _key: {}, apply)
    draw = sampling.sampler(model, encoding, 4, num_characters=10)
    assert draw({}, "", 0) == "abcabcabca"


@pytest.mark.slow
def test_a_report_is_a_sample():
    problem = language_problem("gru")
    params = problem.init(jax.random.key(0))
    report = problem.report(jax.tree.map(np.asarray, params), problem.data)
    said = "\n".join(report.texts["a sample"])
    assert len(said) <= 400 and set(said) <= set(STORY) | {"\n"}


@pytest.mark.parametrize("kind", plain_tokens.KINDS)
@pytest.mark.parametrize("window", [16, 70, 128])
@pytest.mark.slow
def test_every_token_of_a_split_counts_once(window, kind):
    """Against a model whose loss depends on the target alone: a table of frequencies.

    70 characters are 4 windows of 16 and 6 more, one window, or half a window.
    """
    text = story()._replace(test="the zebra sat: é, \u6f22, \U0001f642.")
    size = 280 if kind == "bpe" else None
    tokenized = plain_tokens.tokenize(text, kind, size)
    encode = tokenized.encoding.encode
    logits = jnp.linspace(-1.0, 2.0, tokenized.encoding.num_tokens)

    def apply(_params, inputs, _key=None):
        return jnp.broadcast_to(logits[None, None], (*inputs.shape, len(logits)))

    model = Model(lambda _key: {}, apply)
    problem = languages.language(text, model, window, tokenized)
    assert problem.target.metric == "bits_per_character", "a sweep ranks both kinds"
    for split, said in ((1, text.validation), (2, text.test)):
        source = problem.data[split]
        targets = encode(said)[1:]
        assert source.num_examples == -(-len(targets) // window)
        places = jnp.arange(source.num_examples, dtype=jnp.uint32)
        batch = source.take(source.arrays, places)
        measures = jax.jit(problem.metrics)({}, batch, jax.random.key(0))
        log_p = np.asarray(jax.nn.log_softmax(logits), np.float64)
        expected = -log_p[targets].sum()
        nats, count = measures["loss"]
        assert count == len(targets)
        assert nats == pytest.approx(expected, rel=1e-5)
        for name, number in (("character", len(said)), ("byte", len(said.encode()))):
            bits, count = measures[f"bits_per_{name}"]
            assert bits == pytest.approx(expected / np.log(2), rel=1e-5)
            assert count == pytest.approx(number, rel=1e-6)


def test_a_sample_is_drawn_from_the_most_probable_tokens():
    """By a model that gives c the probability 0.5, b 0.3 and a 0.2, everywhere."""
    encoding = plain_tokens.of_characters("abc")

    def apply(_params, inputs, _key=None):
        logits = jnp.log(jnp.asarray([0.9, 0.2, 0.3, 0.5]))
        return jnp.broadcast_to(logits, (*inputs.shape, 4))

    model = Model(lambda _key: {}, apply)

    def shares(temperature, top_k):
        how = sampling.checked(temperature, top_k, 4)
        said = sampling.sampler(model, encoding, 4, 2_000, how)({}, "", 0)
        assert len(said) == 2_000
        return [said.count(letter) / 2_000 for letter in "abc"]

    deviation = 3 * (0.25 / 2_000) ** 0.5
    assert shares(1.0, None) == pytest.approx([0.2, 0.3, 0.5], abs=deviation)
    assert shares(1.0, 2) == pytest.approx([0.0, 0.375, 0.625], abs=deviation)
    squares = np.square([0.2, 0.3, 0.5]) / np.square([0.2, 0.3, 0.5]).sum()
    assert shares(0.5, 3) == pytest.approx(squares, abs=deviation)
    assert shares(1e3, 1) == [0.0, 0.0, 1.0]
    for top_k in (0, 4, 1.5):
        with pytest.raises(Refusal, match="top_k=.*: expected a whole number from 1"):
            sampling.checked(1.0, top_k, 4)
    with pytest.raises(Refusal, match="temperature=0: expected a number from 0.001"):
        sampling.checked(0, None, 4)


def test_a_sample_of_bytes_has_the_length_that_is_asked():
    """By a model that says the bytes of a sign of three bytes, one after another."""
    state = byte_pairs.train("a", 257)
    encoding = plain_tokens.of_byte_pairs(state)
    first, second, third = encoding.encode("\u6f22")[1:].tolist()
    after = np.full(257, first)
    after[[first, second]] = second, third

    def apply(_params, inputs, _key=None):
        return 50.0 * jax.nn.one_hot(jnp.asarray(after)[inputs], 257)

    model = Model(lambda _key: {}, apply)
    draw = sampling.sampler(model, encoding, 4, num_characters=9)
    assert draw({}, "", 0) == "\u6f22" * 3, "nine tokens at most"
    assert draw({}, "a\u6f22"[:1], 0) == "\u6f22" * 3


def test_each_character_is_predicted_from_those_before_it():
    text = story()
    letters = pieces.alphabet(text.train)
    seen = []

    def apply(_params, inputs, _key=None):
        seen.append(np.asarray(inputs))
        return jnp.zeros((*inputs.shape, len(letters) + 1))

    problem = languages.language(text, Model(lambda _key: {}, apply), 16)
    source = problem.data.validation
    batch = source.take(source.arrays, jnp.arange(5, dtype=jnp.uint32))
    problem.metrics({}, batch, jax.random.key(0))
    whole = plain_tokens.of_characters(letters).encode(text.validation)
    np.testing.assert_array_equal(seen[0].reshape(-1)[:70], whole[:70])


@pytest.mark.slow
def test_training_windows_begin_anywhere_and_stay_inside():
    text = story()
    letters = pieces.alphabet(text.train)
    whole = plain_tokens.of_characters(letters).encode(text.train)
    window, seen = 16, set()
    begun = {}

    def apply(_params, inputs, _key=None):
        begun["inputs"] = np.asarray(inputs)
        return jnp.zeros((*inputs.shape, len(letters) + 1))

    problem = languages.language(text, Model(lambda _key: {}, apply), window)
    source = problem.data.train
    last = source.num_examples - 1
    starts = [whole[k : k + window].tolist() for k in range(len(whole) - window)]
    for seed in range(12):
        batch = source.take(source.arrays, jnp.asarray([0, 1, last - 1], jnp.uint32))
        loss, aux = problem.loss({}, batch, jax.random.key(seed))
        rows = begun["inputs"].tolist()
        assert all(row in starts for row in rows), "a window is a piece of the text"
        seen.add(tuple(rows[0]))
        expected = np.log2(len(letters) + 1)
        assert aux["bits_per_character"] == pytest.approx(expected, rel=1e-5)
        assert loss == pytest.approx(expected * np.log(2), rel=1e-5)
    assert len(seen) > 4
    batch = source.take(source.arrays, jnp.asarray([last], jnp.uint32))
    assert np.isfinite(problem.loss({}, batch, jax.random.key(0))[0])


def test_a_window_longer_than_the_text_is_refused():
    with pytest.raises(Refusal, match="window=9999: expected from 1 to the 528 "):
        language_problem("gru", 9_999)


def test_a_label_out_of_range_is_refused(texts):
    dataset, tokenized = texts
    bad = tokenized.test._replace(labels=tokenized.test.labels + 1)
    with pytest.raises(Refusal, match="test split: example 2 has label 3; expected 0"):
        classify.splits(dataset, tokenized._replace(test=bad))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("gur", "unknown model 'gur'; did you mean 'gru'"),
        ("gru(widht=3)", "unknown argument of gru: 'widht'; did you mean 'width'"),
        ("gru(width=0)", "gru: width=0: expected a whole number from 1 to 8192"),
        ("gru(width=1.5)", "gru: width=1.5: expected a whole number"),
        ("gru(dropout=1)", "gru: dropout=1: expected a number from 0 to 0.95"),
        ("gru(64)", r"arguments go by name; gru has width, depth, dropout"),
        ("transformer(tied=1)", "transformer: tied=1: expected True or False"),
        ("transformer(width=6)", r"width=6: expected a multiple of 2 \* heads=8"),
        ("lstm(width=wide)", "lstm: width=wide: expected a number"),
    ],
)
@pytest.mark.slow
def test_what_is_no_network_is_refused(expression, expected):
    with pytest.raises(Refusal, match=expected):
        languages.language_model(expression, 11)


def test_examples_are_described_as_texts(texts):
    problem = text_problem(texts, "bag")
    train = problem.data.train
    lines = problem.describe(train.take(train.arrays, jnp.asarray([0, 4], jnp.uint32)))
    assert lines == ["alpha (alpha)", "beta (beta)"]
    problem = language_problem("lstm")
    train = problem.data.train
    rows = jnp.asarray([1, train.num_examples - 1], jnp.uint32)
    first, last = problem.describe(train.take(train.arrays, rows))
    assert first == STORY[16:32]
    assert last == STORY[(train.num_examples - 1) * 16 :]
