"""Decompositions of matrices, one matrix after the other under vmap.

On a CPU jaxlib 0.10 computes a batch of matrices on the threads of its pool, and the
call waits for them. Calls that themselves run on all threads of the pool wait for ever.
Measured on two cores: a sweep of soap with 16 lanes stopped in two of three tries, and
so does a loop of batched triangular solves alone. A single matrix is computed where it
is called, so here vmap becomes a loop. The bits of each matrix are the same.
"""

import jax
import jax.numpy as jnp
from jax.scipy import linalg


@jax.custom_batching.sequential_vmap
def eigh(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes eigenvalues [n], ascending, and eigenvectors [n, n]; it is symmetric."""
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors


@jax.custom_batching.sequential_vmap
def orthogonal(matrix: jax.Array) -> jax.Array:
    """Computes the factor Q of the QR decomposition: [n, n] of [n, n]."""
    return jnp.linalg.qr(matrix)[0]


@jax.custom_batching.sequential_vmap
def solve_transposed(upper: jax.Array, right: jax.Array) -> jax.Array:
    """Solves upper^T x = right for an upper triangular matrix: [n, k]."""
    return linalg.solve_triangular(upper, right, trans=1)
