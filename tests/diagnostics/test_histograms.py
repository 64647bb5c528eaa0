import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gradjax.diagnostics.histograms import log_edges, log_histograms
from gradjax.errors import Refusal


def sample(key, size=1000):
    one, other = jax.random.split(jax.random.key(key))
    spread = 10.0 ** jax.random.uniform(other, (size,), minval=-14, maxval=4)
    return {"a": jax.random.normal(one, (size // 2, 2)), "b": spread}


def test_counts_are_those_of_numpy():
    trees = [sample(key) for key in range(3)]
    found = log_histograms(*trees, num_bins=45)
    edges = np.concatenate([[0.0], log_edges(num_bins=45), [np.inf]])
    edges = edges.astype(np.float32)
    for name, one in zip(("params", "grads", "updates"), trees, strict=True):
        flat = np.abs(ravel_pytree(one)[0])
        expected = np.histogram(flat, edges)[0]
        np.testing.assert_array_equal(found[name], expected)
        assert found[name].dtype == jnp.float32 and expected[0] and expected[-1]


def test_zeros_are_below_and_infinity_and_nan_are_above():
    values = {"w": jnp.asarray([0.0, -0.0, 1e-20, 1.0, -jnp.inf, jnp.nan, 1e3])}
    found = log_histograms(values, values, values, num_bins=3)["params"]
    assert found.tolist() == [3.0, 0.0, 0.0, 1.0, 3.0]


def test_histograms_under_vmap_and_of_bfloat16():
    tree = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), sample(0))
    found = jax.jit(jax.vmap(log_histograms))(tree, tree, tree)["params"]
    alone = log_histograms(sample(0), sample(0), sample(0))["params"]
    np.testing.assert_array_equal(found[0], alone)
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16), sample(0))
    assert log_histograms(low, low, low)["grads"].sum() == 2000


@pytest.mark.parametrize(
    "wrong",
    [
        {"lowest": 0.0},
        {"lowest": 2.0, "highest": 1.0},
        {"num_bins": 0},
        {"num_bins": 1.5},
    ],
)
def test_bad_edges_are_refused(wrong):
    with pytest.raises(Refusal, match="expected"):
        log_edges(**wrong)
