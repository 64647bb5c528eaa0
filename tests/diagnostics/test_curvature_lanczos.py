"""Lanczos steps: on random matrices, and where the Krylov space ends early."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.diagnostics.lanczos import lanczos, ritz
from tests.diagnostics.curvature_nets import rotated, symmetric

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@partial(jax.jit, static_argnums=2)
def steps_of(matrix, start, num_steps, mask=None):
    return lanczos(lambda v: matrix @ v, start, KEY, num_steps, mask)


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
@pytest.mark.parametrize("num_steps", [1, 6, 24])
def test_an_eigenvalue_lies_within_each_residual_of_100_matrices(num_steps, dtype):
    rng = np.random.default_rng(0)
    size = 24
    scales = 10.0 ** rng.uniform(-3, 3, size=100)
    matrices = np.stack([symmetric(rng, size, scale) for scale in scales])
    starts = jnp.asarray(rng.normal(size=(100, size)), dtype)

    @jax.jit
    @jax.vmap
    def all_(matrix, start):
        return ritz(steps_of(matrix, start, num_steps))

    found = all_(jnp.asarray(matrices, dtype), starts)
    truth = np.linalg.eigvalsh(np.asarray(matrices, dtype).astype(np.float64))
    distances = np.abs(truth[:, None] - np.asarray(found.values)[..., None]).min(-1)
    rounding = 20 * jnp.finfo(dtype).eps * np.abs(truth).max(1)[:, None]
    assert found.values.dtype == dtype
    assert (distances <= found.residuals + rounding).all()
    if num_steps == size:
        assert (np.abs(truth - found.values) <= rounding).all()
    else:
        assert (np.median(found.residuals, axis=0) > rounding).any()


def test_the_basis_is_orthonormal_and_the_relation_of_lanczos_holds():
    rng = np.random.default_rng(1)
    matrix, _ = rotated(10.0 ** -np.arange(40.0))  # ghosts without orthogonalisation
    found = steps_of(matrix, jnp.asarray(rng.normal(size=40)), 30)
    np.testing.assert_allclose(found.basis @ found.basis.T, np.eye(30), atol=1e-14)
    dense = jnp.diag(found.diagonal)
    dense += jnp.diag(found.couplings, 1) + jnp.diag(found.couplings, -1)
    rest = matrix @ found.basis.T - found.basis.T @ dense
    np.testing.assert_allclose(rest[:, :-1], 0, atol=1e-14)
    np.testing.assert_allclose(
        jnp.linalg.norm(rest[:, -1]), found.remainder, atol=1e-14
    )


@pytest.mark.parametrize(
    "values",
    [np.zeros(6), np.ones(6), [3.0, 3, 3, 1, 1, 0], [-1.0, -1, -1, -2, -2, -2]],
)
@pytest.mark.parametrize("is_eigenvector", [False, True])
def test_multiple_eigenvalues_are_all_found(values, is_eigenvector):
    matrix, basis = rotated(values)
    start = basis[:, 0] if is_eigenvector else np.ones(6)
    found = ritz(steps_of(matrix, jnp.asarray(start), 6))
    np.testing.assert_allclose(found.values, np.sort(values), atol=1e-13)


@pytest.mark.parametrize("num_inside", [1, 3, 8])
def test_a_mask_restricts_the_matrix_to_a_block(num_inside):
    matrix = -jnp.asarray(np.eye(8) * 9 + symmetric(np.random.default_rng(2), 8))
    mask = (jnp.arange(8) < num_inside).astype(float)
    masked = matrix * jnp.outer(mask, mask)
    found = ritz(steps_of(masked, jnp.ones(8) * mask, 8, mask))
    truth = np.linalg.eigvalsh(matrix[:num_inside, :num_inside])
    # All are negative, so a spurious 0 outside of the block would be the largest.
    np.testing.assert_allclose(found.values[-1], truth[-1], rtol=1e-12)
    np.testing.assert_allclose(found.values[0], truth[0], rtol=1e-12)


def test_values_that_are_not_finite_give_nan():
    matrix = jnp.full((5, 5), jnp.nan)
    assert jnp.isnan(ritz(steps_of(matrix, jnp.ones(5), 3)).values).all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_scales_in_float32_do_not_overflow(scale):
    matrix = jnp.asarray(rotated([5.0, 2, 1, -1])[0], jnp.float32)
    start = jnp.full(4, scale, jnp.float32)
    found = ritz(steps_of(matrix, start, 4))
    np.testing.assert_allclose(found.values, [-1, 1, 2, 5], rtol=1e-5)
