"""PSGD with Kronecker-product preconditioners.

Li 2015, "Preconditioned Stochastic Gradient Descent"; Pooladzandi and Li 2024,
"Curvature-Informed SGD via General Purpose Lie-Group Preconditioners".
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradjax.optimizers.decompositions import solve_transposed
from gradjax.optimizers.transformation import transformation
from gradjax.optimizers.weak import at_least_float32
from gradjax.types import Key

Number = Any  # f32[], or a float
Factors = tuple[jax.Array, ...]  # two upper triangles for a matrix, else one diagonal
_MAX_RMS = 1.1  # the largest RMS of an update; a whitened update has about 1


class KronState(NamedTuple):
    """The momentum, and the factors of the preconditioner of each leaf."""

    count: jax.Array  # i32[], the number of gradients so far
    mu: Any
    factors: list[Factors]


def kron(
    learning_rate: Number,
    b1: Number = 0.9,
    precond_learning_rate: Number = 0.1,
    weight_decay: Number = 0.0,
    mask: Any = None,
    update_interval: int = 1,
    max_dim: int = 1024,
) -> optax.GradientTransformationExtraArgs:
    """Whitens the momentum with a preconditioner that is learned during the run.

    The preconditioner is P = Q^T Q, with Q = Q_R (x) Q_L, where both factors are upper
    triangular. With noise v ~ N(0, I), they minimise

        E[g^T P g + v^T P^-1 v]

    by relative gradient steps on each factor. With A = Q_L G Q_R^T and
    B = Q_L^-T V Q_R^-1,

        Q_L <- Q_L - precond_learning_rate triu(A A^T - B B^T) Q_L / |A A^T + B B^T|

    and Q_R is updated in the same way with A^T A and B^T B. At the minimum, P g has
    unit covariance. The update is -learning_rate P m, where P m is scaled down to a
    root mean square of at most 1.1.

    Args:
      learning_rate: f32[].
      b1: the decay of the momentum m.
      precond_learning_rate: the learning rate of the factors, relative to their size.
      weight_decay: a factor of the parameters, multiplied by the rate as in AdamW.
      mask: the leaves that decay; None for all.
      update_interval: the number of steps between two updates of the factors.
      max_dim: the longest side of a matrix with dense factors; other leaves have a
        diagonal preconditioner.

    Returns:
      A transformation whose update takes the number of the step, `step`, and its `key`.

    Differs from the authors' code in three points: the norm is Frobenius's, not an
    estimate of the spectral norm; the interval is fixed, not a decreasing probability;
    and the first scale gives the first whitened gradient a root mean square of 1.
    """
    return optax.chain(
        scale_by_kron(b1, precond_learning_rate, update_interval, max_dim),
        optax.add_decayed_weights(weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )


def scale_by_kron(
    b1: Number, precond_learning_rate: Number, update_interval: int, max_dim: int
) -> optax.GradientTransformationExtraArgs:
    """Computes the direction of PSGD-Kron; see `kron`."""

    def init(params: Any) -> KronState:
        factors = [_identity(leaf, max_dim) for leaf in jax.tree.leaves(params)]
        return KronState(jnp.int32(0), optax.tree.zeros_like(params), factors)

    def update(
        grads: Any, state: KronState, params: Any = None, *, step: jax.Array, key: Key
    ) -> tuple[Any, KronState]:
        del params
        mu = optax.tree.update_moment(grads, state.mu, b1, 1)
        count = state.count + 1
        means, tree = jax.tree.flatten(optax.tree.bias_correction(mu, b1, count))
        scaled = [
            _scale_at_first(m, old, state.count == 0)
            for m, old in zip(means, state.factors, strict=True)
        ]
        keys = jax.random.split(key, max(len(means), 1))

        def update_factors() -> list[Factors]:
            return [
                _update_factors(m, old, k, precond_learning_rate)
                for m, old, k in zip(means, scaled, keys, strict=True)
            ]

        is_due = step % update_interval == 0
        factors = jax.lax.cond(is_due, update_factors, lambda: scaled)
        updates = [_clip(_whiten(m, q)) for m, q in zip(means, factors, strict=True)]
        return tree.unflatten(updates), KronState(count, mu, factors)

    return transformation(init, update)


def _identity(leaf: jax.Array, max_dim: int) -> Factors:
    kind = at_least_float32(leaf)
    if leaf.ndim >= 2 and leaf.size:
        sides = (leaf.size // leaf.shape[-1], leaf.shape[-1])
        if max(sides) <= max_dim:
            return tuple(jnp.eye(side, dtype=kind) for side in sides)
    return (jnp.ones(leaf.size, kind),)


def _matrix(leaf: jax.Array, factors: Factors) -> jax.Array:
    shape = (-1, leaf.shape[-1]) if len(factors) == 2 else (-1,)
    return leaf.reshape(shape).astype(factors[0].dtype)


def _scale_at_first(mean: jax.Array, factors: Factors, is_first: jax.Array) -> Factors:
    """Scales the factors in the first step, so that P g has a root mean square of 1."""
    rms = jnp.sqrt(jnp.mean(jnp.square(mean)))
    scale = jnp.maximum(rms, 1e-12) ** (-0.5 / len(factors))
    return tuple(jnp.where(is_first, scale * q, q) for q in factors)


def _whiten(mean: jax.Array, factors: Factors) -> jax.Array:
    """Computes P m, in the shape and dtype of the leaf."""
    m = _matrix(mean, factors)
    if len(factors) == 2:
        left, right = factors
        m = left.T @ (left @ m @ right.T) @ right
    else:
        m = jnp.square(factors[0]) * m
    return m.reshape(mean.shape).astype(mean.dtype)


def _clip(update: jax.Array) -> jax.Array:
    rms = jnp.sqrt(jnp.mean(jnp.square(update)))
    return update * jnp.minimum(1.0, _MAX_RMS / jnp.maximum(rms, 1e-12))


def _update_factors(
    mean: jax.Array, factors: Factors, key: Key, rate: Number
) -> Factors:
    """Takes one step of each factor on the whitening criterion."""
    g = _matrix(mean, factors)
    noise = jax.random.normal(key, g.shape, g.dtype)
    if len(factors) == 1:
        (q,) = factors
        a, b = jnp.square(q * g), jnp.square(noise / q)
        return (q - rate * (a - b) * q / _above_zero(jnp.max(a + b)),)
    left, right = factors
    a = left @ g @ right.T
    half = solve_transposed(left, noise)  # Q_L^-T V
    b = solve_transposed(right, half.T).T  # Q_L^-T V Q_R^-1
    return (
        _step(left, a @ a.T, b @ b.T, rate),
        _step(right, a.T @ a, b.T @ b, rate),
    )


def _step(q: jax.Array, a: jax.Array, b: jax.Array, rate: Number) -> jax.Array:
    norm = _above_zero(jnp.linalg.norm(a + b))
    return q - rate * jnp.triu(a - b) @ q / norm


def _above_zero(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, jnp.finfo(x.dtype).tiny)
