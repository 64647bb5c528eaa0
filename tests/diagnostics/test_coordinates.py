import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.diagnostics.coordinates import coordinates
from gradjax.errors import Refusal
from gradjax.models import mlp
from gradjax.models.attention import causal_mask
from gradjax.models.transformer import decoder

KEY = jax.random.key(0)


def test_sizes_and_changes_are_those_of_the_layers_by_hand():
    model = mlp((4,), 3, (5,))
    batch = jax.random.normal(KEY, (20, 4))
    start, params = model.init(KEY), model.init(jax.random.key(1))
    found = jax.jit(
        lambda *args: {
            name: one[:2] for name, one in coordinates(model.apply, *args).items()
        }
    )(params, start, batch)
    assert set(found) == {"Dense_0", "Dense_1", "outputs"}

    def by_hand(params):
        first = batch @ params["Dense_0"]["kernel"]
        return first, jax.nn.relu(first) @ params["Dense_1"]["kernel"]

    pairs = zip(by_hand(params), by_hand(start), strict=True)
    for k, (now, before) in enumerate(pairs):
        size, change = found[f"Dense_{k}"]
        np.testing.assert_allclose(size, jnp.abs(now).mean(), rtol=1e-5)
        np.testing.assert_allclose(change, jnp.abs(now - before).mean(), rtol=1e-5)


def test_the_number_of_features_is_that_of_the_last_axis():
    model = mlp((4,), 3, (5,))
    found = coordinates(model.apply, *(model.init(KEY),) * 2, jnp.ones((2, 4)))
    assert [found[x].num_features for x in ("Dense_0", "outputs")] == [5, 3]


@pytest.mark.slow
@pytest.mark.parametrize("time", [6, 70])
def test_logits_of_attention_are_those_that_no_mask_hides(time):
    """From 64 positions on the attention of gradjax is computed in two halves."""
    model = decoder(11, 8, 1, 2)
    tokens = jax.random.randint(KEY, (3, time), 0, 11)
    params = model.init(KEY)
    zero = jax.tree.map(jnp.zeros_like, params)
    found = coordinates(model.apply, params, zero, tokens)
    logits = found["stack/Block_0/self logits"]
    assert float(logits.size) == pytest.approx(float(logits.change), rel=1e-6)
    allowed = int(causal_mask(time).sum())
    assert 1e-3 < float(logits.size) < 1e2, "no logit of -1e9 is in the mean"
    assert logits.num_features >= 3 * 2 * allowed


def test_a_network_without_linen_modules_is_refused():
    with pytest.raises(Refusal, match="applies no flax.linen module"):
        coordinates(lambda p, x: p * x, jnp.ones(()), jnp.ones(()), jnp.ones(3))
    with pytest.raises(Refusal, match="has no network"):
        coordinates(None, {}, {}, None)
