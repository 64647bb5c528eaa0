"""The check passes on networks in muP, and flags each of three planted mistakes."""

import jax
import numpy as np
import pytest

from gradjax.data import pieces
from gradjax.data.strings import PlainText
from gradjax.models import transformer
from gradjax.models.parametrization import Leaf, maximal_update, rule
from gradjax.models.sequences import example_tokens, from_tokens
from gradjax.problems import images, language
from scripts import width_check

BASE, DEPTH, HEADS = 64, 1, 4
WIDTHS = [64, 128, 256, 512]
TEXT = "".join(
    chr(97 + k) for k in np.random.default_rng(0).geometric(0.15, 4_000) % 26
)


def perceptron(rule):
    def at(width):
        made = images.load("digits", f"mlp(widths={(width,) * 3})")
        model, base = (
            images.model_for(f"mlp(widths={(one,) * 3})", images.data.load("digits"))
            for one in (width, BASE)
        )
        model = maximal_update(model, base, rule=rule)
        return made._replace(init=model.init, rate_factors=model.rate_factors)

    return at


def language_model(rule, query_scale=None):
    text = PlainText("letters", TEXT, TEXT[:100], TEXT[:100], "drawn", "")
    num_tokens = len(pieces.alphabet(text.train)) + 1

    def at(width):
        scale = (BASE / width) ** 0.5 if query_scale is None else query_scale
        stack = transformer.Stack(DEPTH, HEADS, 4 * width, 0.0, True, scale)
        module = transformer._Language(num_tokens, width, stack, True, BASE)
        model = from_tokens(module, example_tokens())
        base = transformer.decoder(num_tokens, BASE, DEPTH, HEADS)
        return language.language(text, maximal_update(model, base, rule=rule), 16)

    return at


def standard_readout(shape, base):
    """The readout as in the standard parametrization, all else in muP."""
    known = rule(shape, base)
    fan_in = shape[0] / base[0]
    return Leaf("readout", fan_in**-0.5, 1, 1) if known.kind == "readout" else known


def scaled_embedding(shape, base):
    """The embedding is scaled like a hidden matrix, all else is in muP."""
    known, ratio = rule(shape, base), shape[-1] / base[-1]
    is_table = len(shape) == 2 and known.kind == "input"
    return Leaf("input", ratio**-0.5, 1 / ratio, 1.0) if is_table else known


def checked(at, optimizer, rate, num_seeds=3, batch_size=64):
    how = {"num_seeds": num_seeds, "batch_size": batch_size}
    return width_check.check(at, WIDTHS, optimizer, rate, **how)[1]


def of_language(at, optimizer, rate):
    return checked(at, optimizer, rate, num_seeds=2, batch_size=8)


ADAM, SGD = ("adam", 0.02), ("sgd", 0.3)


@pytest.mark.slow
@pytest.mark.parametrize("how", [ADAM, SGD])
def test_a_perceptron_in_mup_passes(how):
    found = checked(perceptron(rule), *how)
    assert all(one.passes for one in found), width_check.lines(found)


@pytest.mark.slow
@pytest.mark.parametrize("how", [ADAM, SGD])
def test_a_readout_that_is_not_scaled_is_flagged(how):
    found = checked(perceptron(standard_readout), *how)
    wrong = {one.layer for one in found if not one.passes}
    assert {"Dense_3", "outputs"} <= wrong, width_check.lines(found)


@pytest.mark.slow
@pytest.mark.parametrize("how", [ADAM, SGD])
def test_a_transformer_in_mup_passes(how):
    found = of_language(language_model(rule), *how)
    names = {one.layer for one in found}
    assert "stack/Block_0/self logits" in names
    assert all(one.passes for one in found), width_check.lines(found)


@pytest.mark.slow
def test_a_scaled_embedding_is_flagged():
    found = of_language(language_model(scaled_embedding), *ADAM)
    wrong = {one.layer for one in found if not one.passes}
    assert "Vocabulary_0.embed" in wrong, width_check.lines(found)


@pytest.mark.slow
@pytest.mark.parametrize("how", [ADAM, SGD])
def test_attention_by_the_root_of_the_head_size_is_flagged(how):
    found = of_language(language_model(rule, query_scale=1.0), *how)
    wrong = {one.layer for one in found if not one.passes}
    assert wrong == {"stack/Block_0/self logits"}, width_check.lines(found)


@pytest.mark.slow
def test_the_standard_parametrization_fails_and_the_picture_is_written(
    tmp_path, capsys
):
    out = tmp_path / "check.png"
    flags = ["--widths=64,256", "--seeds=1", "--steps=1", f"--out={out}"]
    assert width_check.main([*flags, "--parametrization=standard"]) == 1
    said = capsys.readouterr().out
    assert "not muP: " in said and "Dense_0, size at step 0: slope -0." in said
    assert out.read_bytes().startswith(b"\x89PNG")


def test_sizes_are_measured_before_each_step_on_one_batch():
    problem = images.load("digits", "mlp(widths=(4,))")
    found = width_check.sizes_at(problem, "sgd", 0.5, 2, 2, 16)
    values, features = found["Dense_0"]
    assert values.shape == (2, 3, 2) and features == 4
    assert found["outputs"][1] == 10
    size, change = values
    np.testing.assert_array_equal(change[0], 0.0)
    assert (change[1:] > 0.0).all() and (size > 0.0).all()
    batch = problem.data.train.take(problem.data.train.arrays, np.arange(16))
    inputs = batch["image"].reshape(16, -1) / 16.0
    params = problem.init(jax.random.split(jax.random.key(0))[0])["Dense_0"]
    expected = np.abs(inputs @ params["kernel"]).mean()
    np.testing.assert_allclose(size[0, 0], expected, rtol=1e-4)
