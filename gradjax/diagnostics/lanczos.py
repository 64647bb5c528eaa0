"""Lanczos tridiagonalisation of a symmetric matrix that is given by its products.

Every new vector is orthogonalised twice: against the last two vectors by the recurrence
of Lanczos, and then against all previous ones, because rounding would otherwise bring
converged eigenvalues back as copies. Where the second pass removes much, a third one
follows (Daniel, Gragg, Kaufman, Stewart 1976; Parlett, "The Symmetric Eigenvalue
Problem", 1980: "twice is enough"). A pass reads all vectors twice, which is a large
part of the time if the batches are small. The number of steps is static and the steps
are one loop, so the program is small and works under `vmap`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradjax.diagnostics.vectors import dot, norm, unit
from gradjax.optimizers.decompositions import eigh
from gradjax.types import Key

_MUCH = 0.7  # about 1 / sqrt(2)
_SPENT = 10.0  # times eps |A|: a smaller remainder of a product is rounding


class Tridiagonal(NamedTuple):
    """A Q = Q T + remainder e' with orthonormal rows of `basis` as the columns of Q.

    Attributes:
      diagonal: f[steps], of T.
      couplings: f[steps - 1], beside the diagonal of T.
      remainder: f[], the norm of the last remainder; e is the last unit vector.
      basis: f[steps, n].
    """

    diagonal: jax.Array
    couplings: jax.Array
    remainder: jax.Array
    basis: jax.Array


class Ritz(NamedTuple):
    """The eigenvalues of T, the approximations of those of the matrix.

    Attributes:
      values: f[steps], increasing.
      residuals: f[steps], |A q - value q| of each approximate eigenvector q. Within
        this distance of the value there is an eigenvalue of the matrix.
      vectors: f[steps, steps], the eigenvectors of T as columns.
    """

    values: jax.Array
    residuals: jax.Array
    vectors: jax.Array


class _Carry(NamedTuple):
    basis: jax.Array  # f[steps, n]; rows that are not yet found are 0
    coupling: jax.Array  # f[], to the previous vector
    size: jax.Array  # f[], a lower bound of |A|


def lanczos(
    product: Callable[[jax.Array], jax.Array],
    start: jax.Array,
    key: Key,
    num_steps: int,
    mask: jax.Array | None = None,
) -> Tridiagonal:
    """Tridiagonalises a symmetric matrix A on the Krylov space of a start.

    If the Krylov space is complete before the last step, the next vector is a random
    one that is orthogonal to it, so further eigenvalues are found, also copies of
    multiple ones.

    Args:
      product: v -> A v, f[n] to f[n].
      start: f[n], not 0.
      key: of the random vectors.
      num_steps: the number of products, at least 1; without a mask at most n.
      mask: f[n] of 0 and 1: A is restricted to the elements with 1, outside of which
        start and products must be 0. None: all elements. Steps beyond the number of
        elements repeat the first diagonal element, which lies within the range of the
        eigenvalues.

    Returns:
      A Tridiagonal in the type of the start.
    """
    dimension = start.size if mask is None else jnp.sum(mask).astype(jnp.int32)
    tiny = _SPENT * jnp.finfo(start.dtype).eps

    def random(index: jax.Array, basis: jax.Array) -> jax.Array:
        step_key = jax.random.fold_in(key, index)
        drawn = jax.random.normal(step_key, start.shape, start.dtype)
        drawn = drawn if mask is None else mask * drawn
        # Twice, because the first pass leaves an error of eps times the length.
        return unit(_orthogonal(unit(_orthogonal(drawn, basis)), basis))

    def step(carry: _Carry, index: jax.Array) -> tuple:
        basis, coupling, size = carry
        image = product(basis[index])
        diagonal = dot(basis[index], image)
        size = jnp.maximum(size, norm(image))  # a lower bound of |A|
        # The first step has no previous vector, and its coupling is 0.
        image = image - diagonal * basis[index] - coupling * basis[index - 1]
        rest, length = _reorthogonalised(image, basis)
        is_spent = length <= tiny * size
        after = jax.lax.cond(
            is_spent,
            lambda: random(index, basis),
            lambda: rest / length,
        )
        is_inside = index + 1 < dimension
        after = jnp.where(is_inside, after, 0)
        coupling = jnp.where(is_spent | ~is_inside, 0, length)
        # After the last step there is no row to write, and `drop` writes none.
        basis = basis.at[index + 1].set(after, mode="drop")
        return _Carry(basis, coupling, size), (diagonal, coupling, length)

    basis = jnp.zeros((num_steps, start.size), start.dtype).at[0].set(unit(start))
    zero = jnp.zeros((), start.dtype)
    steps = jnp.arange(num_steps)
    carry, traces = jax.lax.scan(step, _Carry(basis, zero, zero), steps)
    diagonal, couplings, lengths = traces
    diagonal = jnp.where(steps < dimension, diagonal, diagonal[0])
    return Tridiagonal(diagonal, couplings[:-1], lengths[-1], carry.basis)


def ritz(found: Tridiagonal) -> Ritz:
    """Computes the eigenvalues of T with their residuals, remainder * |last element|.

    Source:
      Parlett 1980, chapter 13.
    """
    dense = jnp.diag(found.diagonal)
    if found.couplings.size:
        dense += jnp.diag(found.couplings, 1) + jnp.diag(found.couplings, -1)
    values, vectors = eigh(dense)
    return Ritz(values, found.remainder * jnp.abs(vectors[-1]), vectors)


def _reorthogonalised(
    vector: jax.Array, basis: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the part of a vector that is orthogonal to the rows, and its norm.

    A second pass is computed only if the first one removes much, because otherwise its
    error is already at the level of rounding ("twice is enough").
    """
    first = _orthogonal(vector, basis)
    length = norm(first)

    def again() -> tuple[jax.Array, jax.Array]:
        second = _orthogonal(first, basis)
        return second, norm(second)

    is_inexact = length < _MUCH * norm(vector)
    return jax.lax.cond(is_inexact, again, lambda: (first, length))


def _orthogonal(vector: jax.Array, basis: jax.Array) -> jax.Array:
    """Subtracts the projection on the rows of the basis; rows of 0 change nothing."""
    return vector - dot(basis.T, dot(basis, vector))
