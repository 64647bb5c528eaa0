import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.diagnostics.activations import activations
from gradjax.errors import Refusal
from gradjax.models import cnn, mlp, transformer
from gradjax.models.own import of_module
from gradjax.models.resnet import resnet

KEY = jax.random.key(0)


def measured(apply, params, batch, **options):
    found = jax.jit(lambda p, x: activations(apply, p, x, **options))(params, batch)
    return {name: float(value) for name, value in found.items()}


@pytest.fixture(scope="module")
def perceptron():
    model = mlp((4,), 3, (5, 6))
    return model.apply, model.init(KEY), jax.random.normal(KEY, (20, 4))


def test_relu_units_below_a_bias_of_minus_1000_are_all_dead(perceptron):
    apply, params, batch = perceptron
    low = {**params, "Dense_1": params["Dense_1"] | {"bias": jnp.full(6, -1e3)}}
    found = measured(apply, low, batch)
    assert found["dead/Dense_1"] == found["zeros/Dense_1"] == 1.0
    assert found["dead/Dense_0"] < 1.0
    assert "dead/Dense_2" not in found, "no relu follows the last layer"


def test_counts_and_means_are_those_of_the_layers_by_hand(perceptron):
    apply, params, batch = perceptron
    found = measured(apply, params, batch)
    hidden = batch
    for name in ("Dense_0", "Dense_1", "Dense_2"):
        layer = params[name]
        hidden = hidden @ layer["kernel"] + layer["bias"][None]
        rms = np.sqrt(np.mean(np.square(hidden)))
        np.testing.assert_allclose(found[f"rms/{name}"], rms, rtol=1e-5)
        mean = np.abs(hidden).mean()
        np.testing.assert_allclose(found[f"mean_abs/{name}"], mean, rtol=1e-5)
        is_zero = np.asarray(hidden) <= 0.0
        hidden = jnp.maximum(hidden, 0.0)
        if name != "Dense_2":
            assert found[f"zeros/{name}"] == pytest.approx(is_zero.mean())
            assert found[f"dead/{name}"] == pytest.approx(is_zero.all(axis=0).mean())
    assert found["rms/outputs"] == found["rms/Dense_2"]


def test_the_outputs_do_not_change_and_no_jit_is_needed(perceptron):
    apply, params, batch = perceptron
    found = activations(apply, params, batch)
    inside = measured(apply, params, batch)
    assert set(found) == set(inside)
    for name, value in found.items():
        np.testing.assert_allclose(value, inside[name], rtol=1e-5, atol=1e-7)


def test_lanes_of_vmap_are_measured_apart(perceptron):
    apply, params, batch = perceptron
    double = jax.tree.map(lambda x: jnp.stack([x, 2.0 * x]), params)
    lanes = jax.jit(jax.vmap(lambda p: activations(apply, p, batch)))(double)
    alone = measured(apply, params, batch)
    np.testing.assert_allclose(lanes["rms/Dense_2"][0], alone["rms/Dense_2"], rtol=1e-5)
    assert lanes["rms/Dense_0"][1] == pytest.approx(2.0 * alone["rms/Dense_0"], 1e-5)


class Tanh(nn.Module):
    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = jnp.tanh(nn.Dense(4, kernel_init=nn.initializers.ones)(x))
        return x


def test_saturation_is_the_share_beyond_the_threshold():
    model = of_module(Tanh(), jnp.zeros((1, 1)))
    batch = jnp.asarray([[0.0], [3.0], [-3.0], [2.0]])  # tanh(2) = 0.964
    found = measured(model.apply, model.init(KEY), batch)
    assert found["saturated/Dense_0"] == 0.5
    assert found["saturated/Dense_1"] == 0.75
    found = measured(model.apply, model.init(KEY), batch, threshold=0.96)
    assert found["saturated/Dense_0"] == 0.75


def test_channels_of_a_convolution_are_units():
    model = cnn((8, 8, 1), 3)
    params = model.init(KEY)
    batch = jax.random.normal(KEY, (4, 8, 8, 1))
    found = measured(model.apply, params, batch)
    dead = {name for name in found if name.startswith("dead/")}
    assert len(dead) >= 2 and all(found[name] < 1.0 for name in dead)


class Norms(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(not train)(nn.LayerNorm()(x))
        return nn.Dense(2)(nn.GroupNorm(2)(x))


def test_norms_have_no_relu():
    """They contain the maximum of a variance and 0."""
    model = of_module(Norms(), jnp.zeros((1, 4)))
    state = model.init_state(KEY)

    def apply(params, batch):
        return model.apply(params, batch, None, state)[0]

    found = measured(apply, model.init(KEY), jax.random.normal(KEY, (5, 4)))
    assert {name.partition("/")[0] for name in found} == {"rms", "mean_abs"}
    assert {"rms/BatchNorm_0", "rms/GroupNorm_0", "rms/LayerNorm_0"} <= set(found)


def uniform(params):
    """The parameters with queries, keys and so all logits at 0."""

    def zero(path, x):
        names = [key.key for key in path]
        return jnp.zeros_like(x) if "qkv" in names or "query" in names else x

    return jax.tree.map_with_path(zero, params)


TIME = 7
TOKENS = jax.random.randint(KEY, (3, TIME), 0, 11)


@pytest.mark.slow
def test_uniform_attention_has_the_entropy_log_t():
    model = transformer.encoder(11, 2, 16, 2, 2)
    lengths = jnp.full(3, TIME)
    params = uniform(model.init(KEY))
    found = measured(model.apply, params, (TOKENS, lengths))
    names = {name for name in found if name.startswith("entropy/")}
    assert names == {f"entropy/stack/Block_{k}/self" for k in range(2)}
    for name in names:
        assert found[name] == pytest.approx(np.log(TIME), rel=1e-5)
        path = name.partition("/")[2]
        assert found[f"max_logit/{path}"] == 0.0
        assert found[f"log_sum_exp/{path}"] == pytest.approx(np.log(TIME), rel=1e-5)
        assert f"zeros/{path.rpartition('/')[0]}/Dense_0" in found, "the relu layer"


@pytest.mark.parametrize("time", [TIME, pytest.param(70, marks=pytest.mark.slow)])
def test_causal_attention_has_the_entropy_of_the_positions_before(time):
    """From 64 positions on the attention of gradjax is computed in two halves."""
    model = transformer.decoder(11, 16, 1, 2)
    tokens = jax.random.randint(KEY, (2, time), 0, 11)
    found = measured(model.apply, uniform(model.init(KEY)), tokens)
    expected = np.log(np.arange(1, time + 1)).mean()
    assert found["entropy/stack/Block_0/self"] == pytest.approx(expected, rel=1e-5)
    assert found["log_sum_exp/stack/Block_0/self"] == pytest.approx(np.log(time))
    assert "rms/Vocabulary_0.embed" in found, "an output of another method"


class Heads(nn.Module):
    @nn.compact
    def __call__(self, x):
        mask = nn.make_causal_mask(x[..., 0])
        x = nn.MultiHeadDotProductAttention(2)(x, mask=mask)
        return nn.softmax(nn.Dense(3)(x))


@pytest.mark.slow
def test_attention_of_flax_is_found_and_a_softmax_of_the_outputs_is_not():
    model = of_module(Heads(), jnp.zeros((1, TIME, 8)))
    batch = jax.random.normal(KEY, (3, TIME, 8))
    params = uniform(model.init(KEY))
    found = measured(model.apply, params, batch)
    names = {name for name in found if name.startswith("entropy/")}
    assert names == {"entropy/MultiHeadDotProductAttention_0"}
    expected = np.log(np.arange(1, TIME + 1)).mean()
    assert found[names.pop()] == pytest.approx(expected, rel=1e-5)


class Sharp(nn.Module):
    """Attention by hand with logits x x', so that their maximum is known."""

    @nn.compact
    def __call__(self, x):
        weights = jax.nn.softmax(x @ x.swapaxes(1, 2))
        return nn.Dense(1)(weights @ x)


def test_logits_of_attention_by_hand_are_those_of_numpy():
    model = of_module(Sharp(), jnp.zeros((1, TIME, 2)))
    batch = jax.random.normal(KEY, (3, TIME, 2))
    found = measured(model.apply, model.init(KEY), batch)
    logits = np.einsum("bqd,bkd->bqk", *(2 * [np.asarray(batch, np.float64)]))
    sums = np.log(np.exp(logits).sum(axis=-1))
    weights = np.exp(logits - sums[..., None])
    entropy = -(weights * np.log(weights)).sum(axis=-1).mean()
    np.testing.assert_allclose(found["max_logit/inputs"], logits.max(), rtol=1e-5)
    np.testing.assert_allclose(found["log_sum_exp/inputs"], sums.max(), rtol=1e-5)
    np.testing.assert_allclose(found["entropy/inputs"], entropy, rtol=1e-5)


@pytest.mark.slow
def test_a_residual_network_with_a_state_is_measured():
    model = resnet((8, 8, 3), 4, width=4, norm="batch")
    params, state = model.init(KEY), model.init_state(KEY)

    def apply(params, batch):
        return model.apply(params, batch, None, state)[0]

    found = measured(apply, params, jax.random.normal(KEY, (2, 8, 8, 3)))
    assert all(np.isfinite(x) for x in found.values())
    assert sum(name.startswith("dead/") for name in found) > 5


def test_a_network_of_another_library_is_refused():
    with pytest.raises(Refusal, match="applies no flax.linen module"):
        activations(lambda p, x: jax.nn.relu(x @ p), jnp.ones((2, 2)), jnp.ones((3, 2)))


def test_a_problem_without_a_network_is_refused():
    with pytest.raises(Refusal, match="has no network"):
        activations(None, jnp.ones(2), jnp.ones((3, 2)))
