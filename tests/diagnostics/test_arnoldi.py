"""Arnoldi against dense eigenvalues of matrices that are not symmetric."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.diagnostics.arnoldi import arnoldi, eigenvalues, leftmost, on_host

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@jax.jit
def _reduced(matrix, start):
    return arnoldi(lambda v: matrix @ v, start, KEY, 12)


def _drawn(seed, size=30):
    return np.random.default_rng(seed).normal(size=(size, size)) / np.sqrt(size)


def test_the_basis_is_orthonormal_and_reduces_the_matrix():
    matrix = _drawn(0)
    found = _reduced(jnp.asarray(matrix), jnp.ones(30))
    basis, small = np.asarray(found.basis).T, np.asarray(found.matrix)
    np.testing.assert_allclose(basis.T @ basis, np.eye(12), atol=1e-14)
    np.testing.assert_allclose(np.tril(small, -2), 0)
    rest = matrix @ basis - basis @ small
    np.testing.assert_allclose(rest[:, :-1], 0, atol=1e-13)
    np.testing.assert_allclose(np.linalg.norm(rest[:, -1]), found.remainder)


@pytest.mark.parametrize("seed", range(20))
def test_an_outlier_on_the_left_is_found_with_a_true_residual(seed):
    matrix = _drawn(seed, 200)
    is_pair = seed % 2 == 1
    planted = np.array([[-3.0, 1.0], [-1.0, -3.0]]) if is_pair else np.diag([-3.0, 0.5])
    matrix[:2, :2] = planted
    matrix[2:, :2] = 0
    found = jax.jit(lambda a, v: leftmost(arnoldi(lambda x: a @ x, v, KEY, 50)))(
        jnp.asarray(matrix), jnp.ones(200)
    )
    assert found.residual < 1e-6
    np.testing.assert_allclose(found.value, -3 + 1j * is_pair, atol=1e-5)
    vector = np.asarray(found.vector)
    np.testing.assert_allclose(np.linalg.norm(vector), 1, rtol=1e-12)
    # The real part of the eigenvector lies in the plane, or on the line, of the pair.
    np.testing.assert_allclose(vector[2 if is_pair else 1 :], 0, atol=1e-5)


def test_a_residual_is_that_of_its_vector_before_it_has_converged():
    matrix = _drawn(3) + np.diag([-3.0, *np.zeros(29)])  # a real leftmost eigenvalue
    found = jax.jit(lambda a, v: leftmost(arnoldi(lambda x: a @ x, v, KEY, 6)))(
        jnp.asarray(matrix), jnp.ones(30)
    )
    vector, value = np.asarray(found.vector), complex(found.value).real
    assert complex(found.value).imag == 0
    true = np.linalg.norm(matrix @ vector - value * vector)
    np.testing.assert_allclose(found.residual, true, rtol=1e-8)
    assert true > 1e-3


def test_a_krylov_space_that_is_complete_early_is_continued():
    matrix = jnp.diag(jnp.asarray([1.0, 1, 1, 1, -2, -2, 0.5, 0.5]))
    start = jnp.asarray([1.0, 1, 0, 0, 0, 0, 0, 0])  # an eigenvector
    found = jax.jit(lambda a, v: arnoldi(lambda x: a @ x, v, KEY, 8))(matrix, start)
    values = np.linalg.eigvals(np.asarray(found.matrix)).real
    np.testing.assert_allclose(np.sort(values), np.sort(np.diag(matrix)), atol=1e-13)


def test_the_host_computes_the_same_in_lanes_and_nan_for_nan():
    matrices = jnp.stack([jnp.asarray(_drawn(k, 6)) for k in range(3)])
    matrices = matrices.at[1, 0, 0].set(jnp.nan)
    values, vectors = jax.jit(jax.vmap(on_host))(matrices)
    inside, _ = jax.jit(jax.vmap(eigenvalues))(matrices)
    assert np.isnan(values[1]).all() and np.isnan(vectors[1]).all()
    assert np.isnan(inside[1]).all()
    for k in (0, 2):
        image = np.asarray(matrices[k]) @ np.asarray(vectors[k])
        np.testing.assert_allclose(image, vectors[k] * values[k][None], atol=1e-13)
        np.testing.assert_allclose(
            np.sort_complex(np.asarray(values[k])),
            np.sort_complex(np.asarray(inside[k])),
            rtol=1e-12,
        )
    assert on_host(matrices[0].astype(jnp.float32))[0].dtype == jnp.complex64
