import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from gradjax.diagnostics import norms
from gradjax.errors import Refusal

RATE = 0.25  # a power of two, so that a product with it is exact


def tree(key, dtype=jnp.float32):
    shapes = {"bias": (3,), "kernel": (4, 3), "scale": ()}
    keys = jax.random.split(jax.random.key(key), 3)
    return {
        name: jax.random.normal(k, shape, dtype)
        for k, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def steps(optimizer, dtype=jnp.float32):
    params, grads = tree(0, dtype), tree(1, dtype)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    return params, grads, updates


def test_ratios_of_sgd_are_the_rate_times_the_gradient_over_the_weights_exactly():
    params, grads, updates = steps(optax.sgd(RATE))
    found = norms.layer_norms(params, grads, updates)
    for name in params:
        expected = RATE * found["grads_norm"][name] / found["params_norm"][name]
        assert found["update_to_weight"][name] == expected
        assert found["update_to_gradient"][name] == RATE
    assert found["total_update_to_gradient"] == RATE


def test_ratio_of_sign_descent_is_the_rate_times_the_root_of_the_size():
    params, grads, updates = steps(optax.sign_sgd(RATE))
    found = norms.layer_norms(params, grads, updates)
    for name, leaf in params.items():
        expected = RATE * leaf.size**0.5 / jnp.linalg.norm(leaf)
        np.testing.assert_allclose(found["update_to_weight"][name], expected, rtol=1e-6)
        np.testing.assert_allclose(found["updates_rms"][name], RATE, rtol=1e-6)


def test_totals_are_those_of_the_flattened_vector():
    params, grads, updates = steps(optax.adam(RATE))
    found = norms.layer_norms(params, grads, updates)
    for name, one in (("params", params), ("grads", grads), ("updates", updates)):
        flat = ravel_pytree(one)[0]
        norm = np.linalg.norm(flat)
        np.testing.assert_allclose(found[f"total_{name}_norm"], norm, rtol=1e-6)
        rms = norm / flat.size**0.5
        np.testing.assert_allclose(found[f"total_{name}_rms"], rms, rtol=1e-6)


def test_a_ratio_to_weights_of_0_is_nan():
    params, grads, updates = steps(optax.sgd(RATE))
    params["bias"] = jnp.zeros(3)
    found = norms.layer_norms(params, grads, updates)
    assert np.isnan(found["update_to_weight"]["bias"])
    assert np.isfinite(found["update_to_weight"]["kernel"])


def test_sums_of_bfloat16_are_computed_in_float32():
    ones = {"w": jnp.ones(1000, jnp.bfloat16)}
    found = norms.layer_norms(ones, ones, ones)
    assert found["params_norm"]["w"].dtype == jnp.float32
    np.testing.assert_allclose(found["params_norm"]["w"], 1000**0.5, rtol=1e-6)


def test_norms_under_vmap_and_jit_are_those_of_each_lane():
    lanes = [steps(optax.adam(RATE)), steps(optax.sgd(RATE))]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *lanes)
    found = jax.jit(jax.vmap(norms.layer_norms))(*stacked)
    for lane, one in enumerate(lanes):
        alone = norms.layer_norms(*one)
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x[lane], y, rtol=1e-6),  # noqa: B023
            found,
            alone,
        )


def test_largest_values_are_those_of_numpy():
    params, grads, updates = steps(optax.adam(RATE))
    found = norms.largest(params, grads, updates)
    for name in params:
        assert found["grads"][name] == np.abs(np.asarray(grads[name])).max()


def test_effective_rate_is_that_of_the_scaled_weights():
    """Scaling w by 2 and the rate by 4 changes nothing for a scale-free loss."""
    params = tree(0)
    double = jax.tree.map(lambda x: 2.0 * x, params)
    one = norms.effective_rates(params, jnp.float32(RATE))["effective_rate"]
    other = norms.effective_rates(double, jnp.float32(4.0 * RATE))["effective_rate"]
    for name, leaf in params.items():
        np.testing.assert_allclose(one[name], RATE / (leaf**2).sum(), rtol=1e-6)
        np.testing.assert_allclose(one[name], other[name], rtol=1e-6)


@pytest.mark.parametrize(
    "shape", [(30, 20), (20, 30), (3, 3, 4, 8), (7,), (), (90, 80)]
)
def test_spectral_norms_are_those_of_a_singular_value_decomposition(shape):
    params = {"w": jax.random.normal(jax.random.key(2), shape)}
    updates = {"w": 1e-25 * params["w"]}
    found = norms.spectral_norms(params, updates, jax.random.key(3), 100)
    matrix = np.asarray(params["w"]).reshape(-1, shape[-1] if shape else 1)
    expected = np.linalg.svd(matrix, compute_uv=False)[0]
    tolerance = 1e-5 if min(matrix.shape) <= 64 else 1e-2
    np.testing.assert_allclose(found["params"]["w"], expected, rtol=tolerance)
    np.testing.assert_allclose(found["updates"]["w"] * 1e25, expected, rtol=tolerance)
    scale = expected / (matrix.shape[1] / matrix.shape[0]) ** 0.5
    np.testing.assert_allclose(found["params_scale"]["w"], scale, rtol=tolerance)
    assert found["params"]["w"] <= expected * (1.0 + 1e-5), "a lower bound"


def test_spectral_norms_of_zeros_are_0():
    zeros = {"w": jnp.zeros((90, 80)), "b": jnp.zeros((3, 2))}
    found = norms.spectral_norms(zeros, zeros, jax.random.key(0))
    assert {float(x) for x in jax.tree.leaves(found)} == {0.0}


@pytest.mark.parametrize("number", [0, 2.5, True])
def test_a_number_of_iterations_that_is_none_is_refused(number):
    with pytest.raises(Refusal, match="num_iterations="):
        norms.spectral_norms(tree(0), tree(1), jax.random.key(0), number)
