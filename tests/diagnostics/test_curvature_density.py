"""The spectral density against the eigenvalues of dense Hessians."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax import Refusal
from gradjax.diagnostics.density import density_on_grid, moment, spectral_density
from tests.diagnostics.curvature_nets import NAMES, dense_hessian, net, quadratic

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def density_of(made, **options):
    @jax.jit
    def all_(params, batch):
        return spectral_density(made.loss, params, batch, key=KEY, **options)

    return all_(made.params, made.batch)


@pytest.mark.parametrize(
    "name", ["mlp", *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES[1:])]
)
def test_moments_are_those_of_the_dense_hessian(name):
    made = net(name)
    found = density_of(made, num_probes=100, num_products=12)
    assert found.nodes.shape == found.weights.shape == (100, 12)
    hessian = np.asarray(dense_hessian(made.loss, made.params, made.batch))
    size = len(hessian)
    np.testing.assert_allclose(jnp.sum(found.weights, 1), 1, rtol=1e-12)
    truths = (1, np.trace(hessian) / size, np.sum(hessian**2) / size)
    for order, truth in enumerate(truths):
        estimate = moment(found, order)
        # Twice the half width of 95 %: 3.9 standard errors.
        bound = 2 * estimate.half_width + 1e-10 * abs(truth)
        assert abs(estimate.value - truth) <= bound
    assert moment(found, 2).half_width < 0.8 * moment(found, 2).value


@pytest.mark.slow
def test_moments_of_one_vector_are_exact_up_to_the_degree_of_the_quadrature():
    """v' H^k v of the first vector, by products with the dense matrix."""
    made = net("mlp")
    hessian = np.asarray(dense_hessian(made.loss, made.params, made.batch))
    found = spectral_density(
        quadratic, jnp.zeros(211), hessian, key=KEY, num_probes=1, num_products=5
    )
    keys = jax.random.split(jax.random.split(KEY, 1)[0])
    start = np.asarray(jax.random.rademacher(keys[0], (211,), float)) / 211**0.5
    power = start
    for order in range(10):
        expected = start @ power
        np.testing.assert_allclose(moment(found, order).value, expected, rtol=1e-9)
        power = hessian @ power
    with pytest.raises(Refusal, match="order=10: expected a whole number from 0 to 9"):
        moment(found, 10)


@pytest.mark.slow
@pytest.mark.parametrize(("order", "num_probes"), [(1, 10), (2, 100)])
def test_intervals_of_moments_cover_them_in_95_percent(order, num_probes):
    made = net("mlp")
    hessian = dense_hessian(made.loss, made.params, made.batch)
    power = hessian if order == 1 else hessian @ hessian

    @jax.jit
    def all_(matrix, keys):
        def one(key):
            zeros = jnp.zeros(len(matrix))
            asked = {"key": key, "num_probes": num_probes, "num_products": 2}
            return moment(spectral_density(quadratic, zeros, matrix, **asked), order)

        return jax.lax.map(one, keys, batch_size=50)

    found = all_(hessian, jax.random.split(KEY, 1000))
    truth = jnp.trace(power) / len(hessian)
    assert 0.93 <= np.mean(np.abs(found.value - truth) <= found.half_width) <= 0.97


def test_a_curve_has_the_integral_1_and_its_mass_where_the_eigenvalues_are():
    values = np.r_[np.linspace(0, 1, 90), np.full(10, 5.0)]
    found = jax.jit(
        lambda matrix: spectral_density(
            quadratic, jnp.zeros(100), matrix, key=KEY, num_probes=20, num_products=20
        )
    )(jnp.diag(values))
    grid = jnp.linspace(-1, 6, 1401)
    curve = density_on_grid(found, grid, 0.1)
    assert (curve >= 0).all()
    np.testing.assert_allclose(jnp.sum(curve) * 0.005, 1, rtol=1e-6)
    outliers = jnp.sum(jnp.where(grid > 3, curve, 0)) * 0.005
    # Exact here, because every sign vector gives 1 / n to each eigenvector.
    np.testing.assert_allclose(outliers, 0.1, rtol=1e-6)


def test_the_number_of_products_is_at_most_that_of_the_parameters():
    found = spectral_density(
        quadratic, jnp.zeros(3), jnp.diag(jnp.asarray([1.0, 2, 4])), key=KEY
    )
    assert found.nodes.shape == (10, 3)
    np.testing.assert_allclose(found.nodes, [[1, 2, 4]] * 10, rtol=1e-12)
    np.testing.assert_allclose(found.weights, 1 / 3, rtol=1e-12)


@pytest.mark.parametrize("asked", [{"num_probes": 0}, {"num_products": 0}])
def test_bad_numbers_are_refused(asked):
    said = f"{next(iter(asked))}=0: expected a whole number at least 1"
    with pytest.raises(Refusal, match=said):
        spectral_density(quadratic, jnp.zeros(3), jnp.eye(3), key=KEY, **asked)
