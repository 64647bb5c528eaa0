"""Trace and diagonal of the Hessian, and what their intervals cover."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax import Refusal
from gradjax.diagnostics.trace import diagonal, hutchpp_trace, trace
from tests.diagnostics.curvature_nets import (
    NAMES,
    dense_hessian,
    net,
    quadratic,
    rotated,
)

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def separable(params, batch):
    """A loss with a diagonal Hessian."""
    return jnp.sum(batch * params["a"] ** 4) + jnp.sum(jnp.cos(params["b"]))


def test_one_vector_of_signs_is_exact_for_a_diagonal_hessian():
    params = {"a": jnp.asarray([1.0, -2, 3]), "b": jnp.asarray([[0.5], [1]])}
    weights = jnp.asarray([1.0, 2, 0.5])

    @jax.jit
    def both(params, batch):
        point = (separable, params, batch)
        return trace(*point, key=KEY, num_probes=1), diagonal(
            *point, key=KEY, num_probes=1
        )

    one, each = both(params, weights)
    truth = {"a": 12 * weights * params["a"] ** 2, "b": -jnp.cos(params["b"])}
    for name, values in truth.items():
        np.testing.assert_allclose(each.values[name], values, rtol=1e-13)
        assert jnp.isnan(each.half_widths[name]).all()
    np.testing.assert_allclose(one.value, sum(map(jnp.sum, truth.values())), rtol=1e-13)
    assert jnp.isnan(one.half_width)


def test_the_variance_of_the_trace_is_that_of_the_formula():
    matrix = jnp.asarray(rotated(np.linspace(-1, 3, 12))[0])

    @jax.jit
    @jax.vmap
    def all_(key):
        return trace(quadratic, jnp.zeros(12), matrix, key=key, num_probes=4).value

    values = all_(jax.random.split(KEY, 4000))
    variance = 2 * (np.sum(matrix**2) - np.sum(np.diag(matrix) ** 2)) / 4
    np.testing.assert_allclose(np.mean(values), 12, atol=4 * (variance / 4000) ** 0.5)
    np.testing.assert_allclose(np.var(values), variance, rtol=0.1)


def covered(function, matrix, truth, **options):
    """The share of 1,000 repetitions in which the interval contains the truth."""

    @jax.jit
    def all_(matrix, keys):
        def one(key):
            zeros = jnp.zeros(len(matrix))
            return function(quadratic, zeros, matrix, key=key, **options)

        return jax.lax.map(one, keys, batch_size=100)

    found = all_(matrix, jax.random.split(jax.random.key(3), 1000))
    return np.mean(np.abs(found.value - truth) <= found.half_width)


def hessian_of(name):
    made = net(name)
    return dense_hessian(made.loss, made.params, made.batch)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "num_probes"),
    [("mlp", 10), ("mlp", 100), ("cnn", 100), ("transformer", 100)],
)
def test_intervals_of_the_trace_cover_it_in_95_percent(name, num_probes):
    hessian = hessian_of(name)
    share = covered(trace, hessian, jnp.trace(hessian), num_probes=num_probes)
    assert 0.93 <= share <= 0.97


@pytest.mark.slow
def test_with_few_probes_a_dominant_eigenvalue_is_covered_less_often():
    hessian = hessian_of("transformer")
    assert 0.84 <= covered(trace, hessian, jnp.trace(hessian), num_probes=10) <= 0.91


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_intervals_of_hutchpp_cover_the_trace_in_95_percent(name):
    hessian = hessian_of(name)
    share = covered(hutchpp_trace, hessian, jnp.trace(hessian))
    assert 0.93 <= share <= 0.97


@pytest.mark.slow
def test_hutchpp_is_more_exact_where_few_eigenvalues_are_large():
    hessian = hessian_of("transformer")
    point = (quadratic, jnp.zeros(len(hessian)), hessian)
    plain = trace(*point, key=KEY, num_probes=30)
    better = hutchpp_trace(*point, key=KEY, num_products=30)
    assert better.half_width < 0.5 * plain.half_width


@pytest.mark.slow
def test_hutchpp_is_exact_if_its_basis_has_the_complete_range():
    matrix = jnp.asarray(rotated([5.0, -2, 1, 0, 0, 0, 0, 0])[0])
    found = jax.jit(hutchpp_trace, static_argnames=("loss", "num_products"))(
        quadratic, jnp.zeros(8), matrix, key=KEY, num_products=12
    )
    np.testing.assert_allclose(found.value, 4, rtol=1e-12)
    np.testing.assert_allclose(found.half_width, 0, atol=1e-12)
    small = hutchpp_trace(quadratic, jnp.zeros(2), jnp.eye(2), key=KEY, num_products=30)
    np.testing.assert_allclose(small.value, 2, rtol=1e-12)  # the basis is complete


def test_the_diagonal_lies_within_its_intervals():
    hessian = rotated(np.linspace(-1, 4, 40))[0]
    found = jax.jit(diagonal, static_argnames=("loss", "num_probes"))(
        quadratic, jnp.zeros(40), jnp.asarray(hessian), key=KEY, num_probes=50
    )
    distances = np.abs(np.asarray(found.values) - np.diag(hessian))
    assert np.mean(distances <= np.asarray(found.half_widths)) >= 0.85  # of 40 elements
    rows = np.sum(hessian**2, 1) - np.diag(hessian) ** 2
    expected = 2.01 * np.sqrt(rows / 50)
    np.testing.assert_allclose(found.half_widths, expected, rtol=0.4)


def test_the_mean_of_float32_probes_keeps_small_variances():
    matrix = 1e4 * jnp.eye(3) + jnp.asarray(rotated([1.0, 2, 3])[0]) * 1e-1
    matrix = matrix.astype(jnp.float32)
    found = diagonal(
        quadratic, jnp.zeros(3, jnp.float32), matrix, key=KEY, num_probes=30
    )
    assert found.values.dtype == jnp.float32
    assert (found.half_widths < 0.2).all()


@pytest.mark.parametrize(
    ("function", "asked", "said"),
    [
        (trace, {"num_probes": 0}, "num_probes=0: expected a whole number at least 1"),
        (diagonal, {"num_probes": 1.5}, "num_probes=1.5: expected a whole number"),
        (hutchpp_trace, {"num_products": 5}, "num_products=5: .* at least 6"),
    ],
)
def test_bad_numbers_are_refused(function, asked, said):
    with pytest.raises(Refusal, match=said):
        function(quadratic, jnp.zeros(3), jnp.eye(3), key=KEY, **asked)
