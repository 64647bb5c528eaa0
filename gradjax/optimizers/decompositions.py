"""Decompositions of matrices, one matrix after the other under vmap.

On a CPU jaxlib 0.10 computes a batch of matrices on the threads of its pool, and the
call waits for them. Calls that themselves run on all threads of the pool wait for ever.
Measured on two cores: a sweep of soap with 16 lanes stopped in two of three tries, and
so does a loop of batched triangular solves alone. A single matrix is computed where it
is called, so here vmap becomes a loop. The bits of each matrix are the same.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import linalg


def _in_turn(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function with a loop as its vmap; its derivative stays the same."""
    mapped = jax.custom_batching.sequential_vmap(function)
    made = jax.custom_jvp(lambda *args: mapped(*args))
    # A rule for vmap has no reverse derivative, so the function itself has it.
    made.defjvp(lambda args, tangents: jax.jvp(function, args, tangents))
    return made


def _eigh(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors


# Symmetric [n, n] -> (eigenvalues [n], ascending; eigenvectors in columns [n, n]).
eigh = _in_turn(_eigh)
# Any [n, n] -> (eigenvalues c[n]; eigenvectors in columns c[n, n]).
eig = _in_turn(lambda matrix: tuple(jnp.linalg.eig(matrix)))
# [n, k] -> (left [n, m], singular values [m], right [m, k]), m the smaller side.
svd = _in_turn(lambda matrix: tuple(jnp.linalg.svd(matrix, full_matrices=False)))
# [n, k] -> Q [n, k] of its QR decomposition, n at least k.
orthogonal = _in_turn(lambda matrix: jnp.linalg.qr(matrix)[0])
# (upper triangular u [n, n], right [n, k]) -> x [n, k] with u^T x = right.
solve_transposed = _in_turn(partial(linalg.solve_triangular, trans=1))
