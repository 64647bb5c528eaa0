"""Eigenvalues of Hessians: of networks, from warm starts, preconditioned, by layer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from gradjax import Refusal
from gradjax.diagnostics.eigenvalues import (
    sharpness,
    smallest_eigenvalue,
    top_eigenvalues,
)
from gradjax.diagnostics.layers import layer_sharpness
from gradjax.diagnostics.preconditioned import (
    adam_preconditioner,
    preconditioned_eigenvalues,
    preconditioned_sharpness,
)
from tests.diagnostics.curvature_nets import (
    NAMES,
    dense_hessian,
    net,
    quadratic,
    rotated,
)

KEY = jax.random.key(0)
nets = pytest.mark.parametrize(
    "name", ["mlp", *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES[1:])]
)

jitted = jax.jit(top_eigenvalues, static_argnames=("loss", "k", "num_products"))


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@nets
def test_eigenvalues_of_a_network_are_those_of_its_dense_hessian(name):
    made = net(name)

    @jax.jit
    def all_(params, batch):
        point = (made.loss, params, batch)
        top = top_eigenvalues(*point, key=KEY, k=4, num_products=80)
        early = top_eigenvalues(*point, key=KEY, k=4, num_products=12)
        return top, early, smallest_eigenvalue(*point, key=KEY, num_products=80)

    top, early, least = all_(made.params, made.batch)
    hessian = dense_hessian(made.loss, made.params, made.batch)
    truth = np.linalg.eigvalsh(hessian)
    assert len(truth) <= 300
    np.testing.assert_allclose(top.values, truth[:-5:-1], rtol=1e-5)
    np.testing.assert_allclose(least.values, truth[:1], rtol=1e-5)
    for found in (top, early, least):
        values, residuals = np.asarray(found.values), np.asarray(found.residuals)
        nearest = np.abs(truth - values[:, None]).min(1)
        assert (nearest <= residuals + 1e-13 * np.abs(truth).max()).all()
        for k, value in enumerate(found.values):
            flat = ravel_pytree(jax.tree.map(lambda x, k=k: x[k], found.vectors))[0]
            np.testing.assert_allclose(jnp.linalg.norm(flat), 1, rtol=1e-12)
            distance = jnp.linalg.norm(hessian @ flat - value * flat)
            np.testing.assert_allclose(distance, found.residuals[k], atol=1e-11)
    assert early.residuals[3] > 1e-4  # a residual that has not converged is not small


def test_sharpness_is_the_largest_eigenvalue_also_if_others_are_larger_in_size():
    matrix, _ = rotated([3.0, 1, 0, -2, -50])

    @jax.jit
    def all_(params, matrix):
        point = (quadratic, params, matrix)
        return sharpness(*point), smallest_eigenvalue(*point, key=KEY)

    found, least = all_(jnp.zeros(5), matrix)
    np.testing.assert_allclose(found, 3, rtol=1e-12)
    np.testing.assert_allclose(least.values, [-50], rtol=1e-12)


def planted(key):
    """A matrix whose largest eigenvector, value 5, is orthogonal to the start."""
    bulk_key, basis_key, key = jax.random.split(key, 3)
    bulk = jax.random.uniform(bulk_key, (46,))
    values = jnp.concatenate([jnp.asarray([5.0, 4, 3, 2]), bulk])
    basis = jnp.linalg.qr(jax.random.normal(basis_key, (50, 50)))[0]
    matrix = (basis * values[None]) @ basis.T
    return matrix, basis[:, 1:3].T, basis[:, 0], key


@pytest.mark.slow
@pytest.mark.parametrize("is_eigenvector", [True, False])
def test_a_planted_eigenvector_orthogonal_to_the_start_is_found_in_100(is_eigenvector):
    """Of 100, from other eigenvectors, and from all directions but the planted one."""

    def one(key):
        matrix, start, top, key = planted(key)
        if not is_eigenvector:
            start = jax.random.normal(key, (1, 50))
            for _ in range(2):
                start = start - (start @ top)[:, None] * top[None]
        return top_eigenvalues(quadratic, jnp.zeros(50), matrix, key=key, start=start)

    found = jax.jit(jax.vmap(one))(jax.random.split(KEY, 100))
    np.testing.assert_allclose(found.values, 5, rtol=1e-5)


@pytest.mark.slow
def test_a_warm_start_near_the_eigenvector_needs_few_products():
    matrix, _, _, key = planted(KEY)
    point = (quadratic, jnp.zeros(50), matrix)
    before = jitted(*point, key=key, num_products=40)
    changed = matrix + 0.02 * jnp.diag(jnp.sin(jnp.arange(50.0)))
    truth = np.linalg.eigvalsh(changed)[-1]
    point = (quadratic, jnp.zeros(50), changed)
    few = {"key": jax.random.key(1), "num_products": 5}
    warm = jitted(*point, **few, start=before.vectors)
    cold = jitted(*point, **few)
    assert abs(warm.values[0] - truth) < 1e-4 * truth
    assert abs(cold.values[0] - truth) > 10 * abs(warm.values[0] - truth)


@pytest.mark.parametrize("value", [0.0, jnp.nan, jnp.inf])
def test_a_start_without_a_direction_is_as_none(value):
    matrix = jnp.asarray(rotated([3.0, 1, 0, -2])[0])
    point, asked = (quadratic, jnp.zeros(4), matrix), {"key": KEY, "num_products": 2}
    start = jnp.full((1, 4), value)
    found = jitted(*point, **asked, start=start)
    np.testing.assert_array_equal(found.values, jitted(*point, **asked).values)


def adam_case():
    made = net("mlp")
    adam = optax.adam(0.1, b1=0.8, b2=0.9, eps=1e-3)

    @jax.jit
    def after_three_steps(params, batch):
        grads, state = jax.grad(made.loss)(params, batch), adam.init(params)
        for _ in range(3):
            _, state = adam.update(grads, state)
        return state

    return made, after_three_steps(made.params, made.batch)


@pytest.mark.slow
def test_preconditioned_sharpness_of_adam_is_that_of_the_dense_matrix():
    made, state = adam_case()
    given = adam_preconditioner(state, 0.8, 0.9, 1e-3)
    nu = np.asarray(ravel_pytree(state[0].nu)[0])
    dense = (1 - 0.8**3) * (np.sqrt(nu / (1 - 0.9**3)) + 1e-3)
    np.testing.assert_allclose(ravel_pytree(given)[0], dense, rtol=1e-12)
    pair = adam_preconditioner((state[0].nu, 3), 0.8, 0.9, 1e-3)
    np.testing.assert_allclose(ravel_pytree(pair)[0], dense, rtol=1e-12)
    hessian = np.asarray(dense_hessian(made.loss, made.params, made.batch))
    truth = np.linalg.eigvalsh(hessian / np.sqrt(np.outer(dense, dense)))

    @jax.jit
    def all_(params, batch, given):
        point = (made.loss, params, batch, given)
        several = preconditioned_eigenvalues(*point, key=KEY, k=2, num_products=80)
        return several, preconditioned_sharpness(*point, num_products=80)

    several, one = all_(made.params, made.batch, given)
    np.testing.assert_allclose(several.values, truth[:-3:-1], rtol=1e-5)
    np.testing.assert_allclose(one, truth[-1], rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, -1.0, jnp.nan])
def test_a_preconditioner_that_is_not_positive_gives_nan(value):
    given = jnp.asarray([1.0, value, 2.0])
    found = preconditioned_sharpness(quadratic, jnp.zeros(3), jnp.eye(3), given)
    assert jnp.isnan(found)


def test_preconditioned_sharpness_over_threshold_says_whether_adam_is_stable():
    """Adam with frozen moments on a quadratic, below and above its threshold."""
    values = jnp.asarray([1.0, 20.0])
    preconditioner = jnp.asarray([0.5, 4.0])  # largest: 20 / 4 = 5 of 1 / 0.5 = 2
    sharp = jax.jit(preconditioned_sharpness, static_argnums=0)(
        quadratic, jnp.ones(2), jnp.diag(values), preconditioner
    )
    np.testing.assert_allclose(sharp, 5.0)
    for share, grows in ((0.98, False), (1.02, True)):
        rate = share * (2 + 2 * 0.9) / ((1 - 0.9) * sharp)
        x, mu, rate = np.ones(2), np.zeros(2), np.asarray(rate)
        for _ in range(1000):
            mu = 0.9 * mu + 0.1 * np.asarray(values) * x
            x = x - rate * mu / np.asarray(preconditioner)
        assert (np.abs(x).max() > 1) == grows


@nets
def test_layer_sharpness_is_that_of_the_diagonal_blocks(name):
    made = net(name)

    @jax.jit
    def all_(params, batch):
        return layer_sharpness(made.loss, params, batch, num_products=60)

    found = all_(made.params, made.batch)
    hessian = np.asarray(dense_hessian(made.loss, made.params, made.batch))
    owners = np.concatenate(
        [
            np.full(leaf.size, "/".join(key.key for key in path[:-1]) or "params")
            for path, leaf in jax.tree_util.tree_leaves_with_path(made.params)
        ]
    )
    assert set(found) == set(owners)
    assert len(found) > 1
    for layer, value in found.items():
        inside = owners == layer
        truth = np.linalg.eigvalsh(hessian[np.ix_(inside, inside)])[-1]
        np.testing.assert_allclose(value, truth, rtol=1e-5, atol=1e-12)


def test_parameters_may_be_numpy_arrays_and_floats():
    def loss(params, _):
        return params["a"] ** 2 + 3 * jnp.sum(params["b"] ** 2)

    params = {"a": 1.0, "b": np.ones(2, np.float32)}
    found = top_eigenvalues(loss, params, key=KEY, k=3)
    np.testing.assert_allclose(found.values, [6, 6, 2], rtol=1e-6)
    assert {name: leaf.shape for name, leaf in found.vectors.items()} == {
        "a": (3,),
        "b": (3, 2),
    }


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
def test_results_have_the_type_of_the_parameters_and_at_least_float32(dtype):
    made = net("mlp", dtype)

    @jax.jit
    def all_(params, batch):
        return top_eigenvalues(made.loss, params, batch, key=KEY)

    found = all_(made.params, made.batch)
    expected = jnp.float64 if dtype == jnp.float64 else jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(expected)}
    rtol = {jnp.bfloat16: 0.05, jnp.float32: 1e-4, jnp.float64: 1e-9}[dtype]
    np.testing.assert_allclose(found.values, [1.481936], rtol=max(rtol, 1e-6))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"k": 0}, "k=0: expected a whole number from 1 to 4"),
        ({"k": 5}, "k=5: expected a whole number from 1 to 4"),
        ({"k": 2, "num_products": 1}, "num_products=1: expected .* at least 2"),
        ({"num_products": 2.0}, "num_products=2.0: expected a whole number"),
        ({"start": jnp.ones(4)}, r"start has the shape \(4,\); expected \(4, 4\)"),
        ({"start": {"w": jnp.ones((1, 4))}}, "start: expected the same leaves"),
        ({"start": ()}, "start: expected the same leaves"),
    ],
)
def test_bad_arguments_are_refused(asked, said):
    with pytest.raises(Refusal, match=said):
        top_eigenvalues(quadratic, jnp.zeros(4), jnp.eye(4), **{"key": KEY} | asked)


def test_states_without_one_second_moment_are_refused():
    state = optax.sgd(0.1, 0.9).init(jnp.zeros(3))
    with pytest.raises(Refusal, match="found 0 states"):
        adam_preconditioner(state)
    two = (optax.adam(0.1).init(jnp.zeros(3)), optax.adam(0.1).init(jnp.zeros(3)))
    with pytest.raises(Refusal, match="found 2 states"):
        adam_preconditioner(two)
    with pytest.raises(Refusal, match=r"preconditioner has the shape \(2,\)"):
        preconditioned_sharpness(quadratic, jnp.zeros(3), jnp.eye(3), jnp.ones(2))
