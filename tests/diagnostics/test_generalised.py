"""The sharpness in other norms against closed forms and all vertices of a cube."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax import Refusal
from gradjax.diagnostics.eigenvalues import top_eigenvalues
from gradjax.diagnostics.generalised import generalised_sharpness
from tests.diagnostics.curvature_nets import net, quadratic, rotated

KEY = jax.random.key(0)
jitted = jax.jit(
    generalised_sharpness,
    static_argnames=("loss", "norm", "num_products", "num_starts"),
)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@pytest.mark.slow
def test_in_l2_it_is_the_eigenvalue_of_lanczos():
    made = net("mlp")
    point = (made.params, made.batch)
    found = jitted(made.loss, *point, "l2", key=KEY, num_products=40)
    top = top_eigenvalues(made.loss, *point, key=KEY, num_products=40)
    np.testing.assert_allclose(found.value, top.values[0], rtol=1e-10)


def test_of_a_diagonal_matrix_in_linf_it_is_the_sum_of_the_positive_elements():
    values = np.random.default_rng(0).normal(size=40)
    found = jitted(quadratic, jnp.ones(40), jnp.diag(values), "linf", key=KEY)
    np.testing.assert_allclose(found.value, values[values > 0].sum(), rtol=1e-12)
    np.testing.assert_allclose(found.gap, 0, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_in_linf_it_is_near_the_best_vertex_from_below(seed):
    factor = np.random.default_rng(seed).normal(size=(12, 5))
    matrix = factor @ factor.T  # with no negative eigenvalue a vertex is the best
    vertices = np.array(list(itertools.product([-1.0, 1.0], repeat=12)))
    best = np.einsum("vi,ij,vj->v", vertices, matrix, vertices).max()
    given = {"norm": "linf", "key": KEY, "num_starts": 8}
    found = jitted(quadratic, jnp.ones(12), jnp.asarray(matrix), **given)
    assert 0.9 * best < found.value <= best * (1 + 1e-12)
    along = np.asarray(found.direction)
    assert np.abs(along).max() <= 1 + 1e-12
    np.testing.assert_allclose(found.value, along @ matrix @ along, rtol=1e-12)


def of_rows(params, matrix):
    """tr(W' A W) / 2: the maximum in the spectral norm is that of A's eigenvalues."""
    weights = params["weights"]
    return 0.5 * jnp.sum(weights * (matrix @ weights)) + 3 * jnp.sum(
        params["bias"] ** 2
    )


def test_in_the_spectral_norm_it_is_the_sum_of_the_largest_eigenvalues():
    matrix, _ = rotated([5.0, 4, 3, 1, 0.5, 0.1])
    params = {"weights": jnp.ones((6, 2)), "bias": jnp.ones(4)}
    found = jitted(
        of_rows, params, jnp.asarray(matrix), "spectral", key=KEY, num_products=200
    )
    np.testing.assert_allclose(found.value, 5 + 4 + 6, rtol=1e-10)
    sizes = np.linalg.svd(found.direction["weights"], compute_uv=False)
    np.testing.assert_allclose(sizes, 1, rtol=1e-12)
    np.testing.assert_allclose(jnp.linalg.norm(found.direction["bias"]), 1, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["linf", "spectral"])
def test_a_network_has_larger_values_from_more_products(norm):
    made = net("mlp")
    few, many = (
        jitted(made.loss, made.params, made.batch, norm, key=KEY, num_products=k)
        for k in (3, 30)
    )
    top = top_eigenvalues(made.loss, made.params, made.batch, key=KEY, num_products=60)
    assert top.values[0] < few.value <= many.value  # each norm is at most that of l2
    assert many.gap >= -1e-9


def test_bad_input_is_refused():
    for given, said in (
        ({"norm": "l3"}, "unknown norm 'l3'"),
        ({"norm": "linf", "num_products": 1}, "num_products=1"),
        ({"norm": "linf", "num_starts": 0}, "num_starts=0"),
    ):
        with pytest.raises(Refusal, match=said):
            generalised_sharpness(quadratic, jnp.ones(2), jnp.eye(2), key=KEY, **given)
