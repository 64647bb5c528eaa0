"""Arnoldi iteration: eigenvalues of a linear map that need not be symmetric.

Every new vector is orthogonalised twice against all previous ones ("twice is enough":
Daniel, Gragg, Kaufman, Stewart 1976). The number of steps is static and the steps are
one loop, so the program is small and works under `vmap`.

The eigenvalues of the small Hessenberg matrix are computed by LAPACK, which JAX calls
inside a program on the CPU. On another platform the matrix, at most some ten thousand
numbers, is sent to the host and numpy computes them there (`jax.pure_callback`),
because a search over the learning rate needs them between its steps, inside the program
of a run. An iteration on the device would be a loop of several thousand dependent small
operations.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.diagnostics.vectors import dot, norm, unit
from gradjax.optimizers.decompositions import eig
from gradjax.types import Key

_SPENT = 10.0  # times eps |A|: a smaller remainder of a product is rounding

Product = Callable[[jax.Array], jax.Array]  # f[n] -> f[n], linear


class Hessenberg(NamedTuple):
    """A Q = Q H + remainder q e' with orthonormal rows of `basis` as the columns of Q.

    Attributes:
      matrix: f[steps, steps], H; it is 0 below its first subdiagonal.
      remainder: f[], the norm of the last remainder; e is the last unit vector, and q
        is a unit vector that is orthogonal to Q.
      basis: f[steps, n].
    """

    matrix: jax.Array
    remainder: jax.Array
    basis: jax.Array


class RitzPair(NamedTuple):
    """An eigenvalue of H with its residual, an approximation of one of A.

    Attributes:
      value: c[], an eigenvalue; of a complex pair, the one with the positive imaginary
        part.
      residual: f[], |A q - value q| of the approximate eigenvector q of norm 1. So it
        is an eigenvalue of a matrix at this distance from A. For a symmetric A, an
        eigenvalue lies within it; otherwise it may be further away by the condition of
        the eigenvalue.
      vector: f[n], the real part of q; if q is real, a multiple of norm 1 of q.
    """

    value: jax.Array
    residual: jax.Array
    vector: jax.Array


class _Carry(NamedTuple):
    basis: jax.Array  # f[steps, n]; rows that are not yet found are 0
    size: jax.Array  # f[], a lower bound of |A|


def arnoldi(product: Product, start: jax.Array, key: Key, num_steps: int) -> Hessenberg:
    """Reduces a matrix A to Hessenberg form on the Krylov space of a start.

    If the Krylov space is complete before the last step, the next vector is a random
    one that is orthogonal to it, so further eigenvalues are found.

    Args:
      product: v -> A v, f[n] to f[n].
      start: f[n], not 0.
      key: of the random vectors.
      num_steps: the number of products, from 1 to n.

    Returns:
      A Hessenberg in the type of the start.

    Source:
      Arnoldi, "The Principle of Minimized Iterations in the Solution of the Matrix
      Eigenvalue Problem", 1951; Saad, "Numerical Methods for Large Eigenvalue
      Problems", 2011, chapter 6.
    """
    tiny = _SPENT * jnp.finfo(start.dtype).eps

    def random(index: jax.Array, basis: jax.Array) -> jax.Array:
        step_key = jax.random.fold_in(key, index)
        drawn = unit(jax.random.normal(step_key, start.shape, start.dtype))
        return unit(_orthogonal(unit(_orthogonal(drawn, basis)[0]), basis)[0])

    def step(carry: _Carry, index: jax.Array) -> tuple:
        basis, size = carry
        image = product(basis[index])
        size = jnp.maximum(size, norm(image))
        once, first = _orthogonal(image, basis)
        rest, second = _orthogonal(once, basis)
        length = norm(rest)
        is_spent = length <= tiny * size
        after = jax.lax.cond(
            is_spent, lambda: random(index, basis), lambda: rest / length
        )
        coupling = jnp.where(is_spent, 0, length)
        # After the last step there is no row to write, and `drop` writes none.
        column = (first + second).at[index + 1].set(coupling, mode="drop")
        basis = basis.at[index + 1].set(after, mode="drop")
        return _Carry(basis, size), (column, length)

    basis = jnp.zeros((num_steps, start.size), start.dtype).at[0].set(unit(start))
    first = _Carry(basis, jnp.zeros((), start.dtype))
    carry, (columns, lengths) = jax.lax.scan(step, first, jnp.arange(num_steps))
    return Hessenberg(columns.T, lengths[-1], carry.basis)


def leftmost(found: Hessenberg) -> RitzPair:
    """Returns the eigenvalue of H with the least real part, with its residual.

    The residual of the eigenvector Q s is the remainder times the last element of s.

    Source:
      Saad 2011, proposition 6.8.
    """
    values, vectors = eigenvalues(found.matrix)
    # Of a complex pair, argmin takes the first one, so the sign is set afterwards.
    value, column = _at(jnp.argmin(values.real), values, vectors)
    residual = found.remainder * jnp.abs(column[-1])
    # An eigenvector may be multiplied by any phase: the largest element becomes real.
    largest = column[jnp.argmax(jnp.abs(column))]
    turned = (column / largest).real.astype(found.basis.dtype)
    value = jax.lax.complex(value.real, jnp.abs(value.imag))
    return RitzPair(value, residual, unit(dot(found.basis.T, turned)))


def eigenvalues(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes the eigenvalues c[n] and eigenvectors c[n, n], as columns, of f[n, n].

    They are NaN if a number of the matrix is not finite.
    """
    found = jax.lax.platform_dependent(matrix, cpu=eig, default=on_host)
    return found[0], found[1]


def on_host(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes what `eigenvalues` does, by numpy on the host."""
    kind = jnp.result_type(matrix.dtype, jnp.complex64)
    size = matrix.shape[-1]
    shapes = tuple(jax.ShapeDtypeStruct(s, kind) for s in ((size,), (size, size)))
    return jax.pure_callback(_eig, shapes, matrix, vmap_method="expand_dims")


def _eig(given: Any) -> tuple[np.ndarray, np.ndarray]:
    """Computes the eigenvalues of f[..., n, n]; numpy refuses NaN, so it gets 0."""
    matrices = np.asarray(given)
    kind = np.result_type(matrices.dtype, np.complex64)
    is_finite = np.asarray(np.isfinite(matrices).all((-2, -1), keepdims=True))
    usable = np.where(is_finite, matrices, 0)
    values, vectors = np.linalg.eig(usable)
    values = np.where(is_finite[..., 0], values, np.nan)
    vectors = np.where(is_finite, vectors, np.nan)
    return values.astype(kind), vectors.astype(kind)


def _at(
    index: jax.Array, values: jax.Array, vectors: jax.Array
) -> tuple[jax.Array, jax.Array]:
    return values[index], vectors[:, index]


def _orthogonal(vector: jax.Array, basis: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Subtracts the projection on the rows of the basis, and returns its f[steps]."""
    part = dot(basis, vector)
    return vector - dot(basis.T, part), part
