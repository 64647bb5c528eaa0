"""Curvature along directions: directional, batch and critical sharpness."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gradjax import Refusal
from gradjax.diagnostics.critical import critical_sharpness
from gradjax.diagnostics.directional import batch_sharpness, directional_sharpness
from tests.diagnostics.curvature_nets import dense_hessian, net, quadratic, rotated


def case(seed, dtype):
    rng = np.random.default_rng(seed)
    matrix = rotated(rng.uniform(0.1, 9, 10), seed)[0]
    return jnp.asarray(rng.normal(size=10), dtype), jnp.asarray(matrix, dtype)


def along_gradient(params, matrix):
    grads = np.asarray(matrix, float) @ np.asarray(params, float)
    return grads @ np.asarray(matrix, float) @ grads / (grads @ grads)


@pytest.mark.slow
def test_directional_and_batch_sharpness_of_a_network():
    with jax.enable_x64(True):
        made = net("mlp")
        hessian = np.asarray(dense_hessian(made.loss, made.params, made.batch))

        @jax.jit
        def all_(params, batch):
            grads = jax.grad(made.loss)(params, batch)
            return (
                grads,
                directional_sharpness(made.loss, params, batch, params),
                directional_sharpness(made.loss, params, batch, grads),
                batch_sharpness(made.loss, params, batch),
            )

        grads, *found = all_(made.params, made.batch)
        for tree, value in zip((made.params, grads, grads), found, strict=True):
            flat = np.asarray(ravel_pytree(tree)[0])
            truth = flat @ hessian @ flat / (flat @ flat)
            np.testing.assert_allclose(value, truth, rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_directional_sharpness_does_not_depend_on_the_length(scale):
    params, matrix = case(0, jnp.float32)
    direction = scale * jnp.arange(1.0, 11)
    found = directional_sharpness(quadratic, params, matrix, direction)
    unit = np.arange(1.0, 11)
    truth = unit @ np.asarray(matrix) @ unit / (unit @ unit)
    np.testing.assert_allclose(found, truth, rtol=1e-5)
    assert found.dtype == jnp.float32


def test_a_direction_that_is_zero_has_no_curvature():
    params, matrix = case(0, jnp.float32)
    assert jnp.isnan(directional_sharpness(quadratic, params, matrix, 0 * params))
    assert jnp.isnan(batch_sharpness(quadratic, 0 * params, matrix))


@pytest.mark.parametrize("scale", [0.0, jnp.nan, jnp.inf])
@pytest.mark.parametrize("start", [1.0, jnp.nan])
def test_an_update_or_a_loss_without_a_value_ends_the_search_at_once(scale, start):
    params, matrix = case(0, jnp.float32)
    updates = scale * jnp.sign(params)
    found = critical_sharpness(quadratic, start * params, matrix, updates)
    assert jnp.isnan(jnp.asarray(found[:3])).all()
    assert found.num_losses == 1


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        (jnp.float32, 0.05),
        (jnp.float32, 1e-3),
        (jnp.float64, 0.05),
        (jnp.float64, 1e-6),
    ],
)
def test_critical_sharpness_of_quadratics_lies_within_its_bracket(dtype, tolerance):
    with jax.enable_x64(True):
        cases = [case(seed, dtype) for seed in range(30)]
        params, matrices = (jnp.stack(each) for each in zip(*cases, strict=True))

        @jax.jit
        @jax.vmap
        def all_(params, matrix):
            updates = -(matrix @ params)
            return critical_sharpness(
                quadratic, params, matrix, updates, tolerance=tolerance
            )

        found = jax.tree.map(np.asarray, all_(params, matrices))
    truth = np.asarray([along_gradient(*one) for one in cases])
    rounding = 1 + 1e-5 if dtype == jnp.float32 else 1 + 1e-12
    assert found.value.dtype == dtype
    assert (found.low <= truth * rounding).all()
    assert (truth <= found.high * rounding).all()
    assert (found.high / found.low <= (1 + tolerance) * rounding).all()
    np.testing.assert_allclose(found.value, truth, rtol=tolerance)


def test_an_update_that_contains_the_rate_is_measured_in_steps():
    params, matrix = case(1, jnp.float32)
    truth = along_gradient(params, matrix)

    @jax.jit
    def along(rate):
        updates = -rate * (matrix @ params)
        return critical_sharpness(quadratic, params, matrix, updates)

    for rate in (0.1 / truth, 1e-5, 1.9 / truth, 2.1 / truth, 1e4):
        found = along(rate)
        np.testing.assert_allclose(found.value / rate, truth, rtol=0.03)
        assert (found.value / 2 > 1) == (rate > 2 / truth)


def test_the_number_of_forward_passes_is_counted():
    calls = []
    params, matrix = case(2, jnp.float32)

    def loss(params, batch):
        jax.debug.callback(lambda: calls.append(1))
        return quadratic(params, batch)

    updates = -(matrix @ params)
    rate = 2 / along_gradient(params, matrix)
    found = critical_sharpness(loss, params, matrix, updates, first_rate=0.9 * rate)
    jax.effects_barrier()
    assert found.num_losses == len(calls) == 7
    far = critical_sharpness(loss, params, matrix, updates, first_rate=8 * 0.9 * rate)
    assert far.num_losses == 9  # two more halvings to 1.8, and one to 0.9


def test_a_loss_that_always_or_never_rises_has_no_critical_rate():
    def linear(params, _):
        return jnp.sum(params)

    ones = jnp.ones(3)
    never = critical_sharpness(linear, 0 * ones, None, -ones)
    assert (never.value, never.low) == (0, 0)
    assert 0 < never.high < 1e-8
    always = critical_sharpness(linear, 0 * ones, None, ones)
    assert jnp.isinf(always.value)
    assert jnp.isinf(always.high)
    assert 1e8 < always.low < jnp.inf


def test_a_loss_that_is_nan_far_away_counts_as_a_rise():
    def barrier(params, _):
        return -jnp.sum(jnp.log(1 - params)) - 2 * jnp.sum(params)

    found = critical_sharpness(barrier, jnp.zeros(1), None, jnp.ones(1))
    assert 0.75 < 2 / found.value < 0.85  # -log(1 - x) = 2 x at 0.797


def test_bad_arguments_are_refused():
    ones, eye = jnp.ones(3), jnp.eye(3)
    with pytest.raises(Refusal, match="tolerance=0: expected a positive number"):
        critical_sharpness(quadratic, ones, eye, ones, tolerance=0)
    with pytest.raises(Refusal, match=r"updates has the shape \(2,\); expected \(3,\)"):
        critical_sharpness(quadratic, ones, eye, jnp.ones(2))
    with pytest.raises(Refusal, match="direction: expected the same leaves"):
        directional_sharpness(quadratic, ones, eye, {"w": ones})
