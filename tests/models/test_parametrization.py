import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax import problems
from gradjax.errors import Refusal
from gradjax.models import mlp
from gradjax.models.own import of_module
from gradjax.models.parametrization import Leaf, leaves, maximal_update, rule
from gradjax.models.transformer import decoder, decoder_of_base
from gradjax.problems import images
from gradjax.problems.classification import model_of

KEY = jax.random.key(3)


def is_leaf(node):
    return isinstance(node, Leaf)


@pytest.mark.parametrize(
    ("shape", "base", "expected"),
    [
        ((64, 256), (64, 64), Leaf("input", 1.0, 1.0, 4.0)),
        ((256,), (64,), Leaf("input", 1.0, 1.0, 4.0)),
        ((256, 256), (64, 64), Leaf("hidden", 0.5, 0.25, 1.0)),
        ((128, 512), (64, 64), Leaf("hidden", 2**-0.5, 0.5, 4.0)),
        ((256, 10), (64, 10), Leaf("readout", 0.25, 0.25, 0.25)),
        ((10,), (10,), Leaf("fixed", 1.0, 1.0, 1.0)),
        ((), (), Leaf("fixed", 1.0, 1.0, 1.0)),
        ((3, 3, 32, 32), (3, 3, 8, 8), Leaf("hidden", 0.5, 0.25, 1.0)),
        ((32, 4, 8), (8, 4, 2), Leaf("hidden", 0.5, 0.25, 1.0)),
        ((16, 64), (64, 64), Leaf("readout", 4.0, 4.0, 4.0)),
    ],
)
def test_the_rule_is_table_3_of_the_paper_relative_to_the_base(shape, base, expected):
    assert rule(shape, base) == expected


class Heads(nn.Module):
    width: int = 8

    @nn.compact
    def __call__(self, x):
        x = nn.LayerNorm()(nn.Dense(self.width)(x))
        return nn.Dense(3)(nn.MultiHeadDotProductAttention(2)(x))


def heads(width):
    return of_module(Heads(width), jnp.zeros((1, 4, 5)))


def test_the_leaves_of_any_linen_module_are_told_by_two_widths():
    found = leaves(heads(16), heads(8))
    attention = found["MultiHeadDotProductAttention_0"]
    for name in ("query", "key", "value", "out"):
        assert attention[name]["kernel"].kind == "hidden"
        assert attention[name]["bias"].kind == "input"
    assert found["Dense_0"]["kernel"].kind == "input"
    assert found["LayerNorm_0"]["scale"].kind == "input"
    assert found["Dense_1"]["kernel"] == Leaf("readout", 0.5, 0.5, 0.5)
    assert found["Dense_1"]["bias"].kind == "fixed"


def test_at_the_base_width_it_is_the_standard_to_every_bit():
    model = mlp((4,), 3, (8, 8))
    found = maximal_update(model, mlp((4,), 3, (8, 8)))
    jax.tree.map(np.testing.assert_array_equal, found.init(KEY), model.init(KEY))
    assert set(jax.tree.leaves(found.rate_factors[:2])) == {1.0}


@pytest.mark.slow
def test_a_decoder_at_the_base_width_computes_what_the_standard_does():
    standard, scaled = decoder(9, 16, 1, 2), decoder_of_base(16)(9, 16, 1, 2)
    params, tokens = standard.init(KEY), jnp.asarray([[1, 2, 3]])
    np.testing.assert_array_equal(
        standard.apply(params, tokens), scaled.apply(params, tokens)
    )


@pytest.mark.slow
def test_logits_of_attention_and_tied_outputs_are_divided_by_the_width():
    """With four times the width, equal rows give logits as in the base network."""
    tokens = jnp.asarray([[1, 2, 3, 4]])
    small, wide = decoder(9, 8, 1, 2), decoder_of_base(8)(9, 32, 1, 2)
    zero = jax.tree.map(jnp.zeros_like, wide.init(KEY))  # blocks that add nothing
    table = small.init(KEY)["Vocabulary_0"]["embedding"]
    gains = {"scale": jnp.ones(32), "bias": jnp.zeros(32)}
    of_wide = zero | {
        "Vocabulary_0": {"embedding": jnp.tile(table, (1, 4))},
        "stack": zero["stack"] | {"LayerNorm_0": gains},
    }
    zero = jax.tree.map(jnp.zeros_like, small.init(KEY))
    gains = {"scale": jnp.ones(8), "bias": jnp.zeros(8)}
    of_small = zero | {
        "Vocabulary_0": {"embedding": table},
        "stack": zero["stack"] | {"LayerNorm_0": gains},
    }
    np.testing.assert_allclose(
        wide.apply(of_wide, tokens), small.apply(of_small, tokens), rtol=1e-4
    )


@pytest.mark.parametrize("width", [256, 100, 24])
@pytest.mark.slow
def test_initial_values_have_the_spread_of_the_rule(width):
    model, base = mlp((50,), 40, (width, width)), mlp((50,), 40, (32, 32))
    found = maximal_update(model, base).init(KEY)
    ratio = width / 32
    of_base = {  # glorot uniform at the base width
        "Dense_0": np.sqrt(2 / (50 + 32)),
        "Dense_1": np.sqrt(2 / 64) * ratio**-0.5,
        "Dense_2": np.sqrt(2 / (40 + 32)) / ratio,
    }
    for name, spread in of_base.items():
        kernel = found[name]["kernel"]
        assert kernel.shape == model.init(KEY)[name]["kernel"].shape
        assert float(kernel.std()) == pytest.approx(spread, rel=0.06)
        assert abs(float(kernel.mean())) < 4 * spread / np.sqrt(kernel.size)
    kernel = np.asarray(found["Dense_1"]["kernel"])
    assert len(np.unique(kernel)) > 0.99 * kernel.size, "no block is drawn twice"


class Gated(nn.Module):
    """Its bias is 1 in one half, as that of the forget gate of an LSTM."""

    width: int

    @nn.compact
    def __call__(self, x):
        def halves(_key, shape, _dtype=jnp.float32):
            return jnp.where(jnp.arange(shape[0]) < shape[0] // 2, 1.0, 0.0)

        x = nn.Dense(self.width, bias_init=halves)(x)
        return nn.Dense(2)(x)


@pytest.mark.slow
def test_biases_are_those_of_the_network_at_its_own_width():
    model, base = (of_module(Gated(w), jnp.zeros((1, 3))) for w in (8, 4))
    bias = maximal_update(model, base).init(KEY)["Dense_0"]["bias"]
    np.testing.assert_array_equal(bias, [1, 1, 1, 1, 0, 0, 0, 0])


def test_networks_that_differ_in_more_than_sizes_are_refused():
    with pytest.raises(Refusal, match="differ in Dense_2/bias"):
        maximal_update(mlp((4,), 3, (8, 8)), mlp((4,), 3, (8,)))


def model_at(expression, parametrization):
    return model_of(expression, (8, 8, 1), 10, parametrization=parametrization)


def test_widths_keep_their_ratios_at_the_base():
    found = model_at("mlp(widths=(128, 32))", "mup(base=16)")
    assert found.rate_factors.adam["Dense_1"]["kernel"] == 1 / 8
    assert found.rate_factors.adam["Dense_2"]["kernel"] == 1 / 8
    assert found.rate_factors.family is None
    found = model_at("mlp(widths=(128, 32))", "mup(family=sgd)")
    assert found.rate_factors.family == "sgd"
    assert found.rate_factors.sgd["Dense_0"]["kernel"] == 2.0


class Net(nn.Module):
    num_classes: int
    width: int = 8

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(self.width)(x.reshape(len(x), -1)))
        return nn.Dense(self.num_classes)(x)


@pytest.mark.slow
def test_a_network_of_the_user_gives_itself_at_the_base_width():
    net = f"{__name__}:Net"
    found = images.load(
        "digits", f"{net}(width=32)", parametrization=f"mup(base='{net}(width=8)')"
    )
    assert found.rate_factors.adam["Dense_1"]["kernel"] == 0.25
    assert images.load("digits", f"{net}(width=32)").rate_factors is None


@pytest.mark.parametrize(
    ("model", "parametrization", "line"),
    [
        ("mlp", "mupp", "expected 'standard' or 'mup'"),
        ("mlp", "mup(32)", "arguments go by name"),
        ("mlp", "mup(bas=32)", "did you mean 'base'"),
        ("mlp", "mup(base=0)", "from 1 to 8192"),
        ("mlp", "mup(base=1.5)", "from 1 to 8192"),
        ("mlp", "mup(family=lion)", "'adam' or 'sgd'"),
        ("mlp", "standard(base=3)", "argument of standard"),
        ("cnn", "mup", "cnn has none; known for mlp"),
        (f"{__name__}:Net(width=32)", "mup", "of the base width: mup"),
        ("vae", "mup", "vae has none"),
    ],
)
def test_wrong_parametrizations_are_refused(model, parametrization, line):
    with pytest.raises(Refusal, match=line.replace("(", r"\(")):
        images.load("digits", model, parametrization=parametrization)


@pytest.mark.slow
def test_a_linen_module_is_given_at_two_widths():
    digits = images.data.load("digits")
    given = {"train": digits.train, "inputs": lambda batch: batch["image"] / 16.0}

    def loss(logits, batch):
        picked = jax.nn.one_hot(batch["label"], 10, dtype=logits.dtype)
        return -(jax.nn.log_softmax(logits) * picked).sum(axis=-1)

    found = problems.from_linen(Net(10, 32), loss, **given, base=Net(10, 8))
    assert found.rate_factors.adam["Dense_1"]["kernel"] == 0.25
    with pytest.raises(Refusal, match="expected a flax.linen module"):
        problems.from_linen(Net(10, 32), loss, **given, base=8)
