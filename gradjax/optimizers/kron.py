"""PSGD with Kronecker-product preconditioners.

Li 2015, "Preconditioned Stochastic Gradient Descent"; Pooladzandi and Li 2024,
"Curvature-Informed SGD via General Purpose Lie-Group Preconditioners".
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.linalg import solve_triangular

from gradjax.optimizers.transformation import transformation
from gradjax.types import Key

Number = Any  # f32[], or a float
Factors = tuple[jax.Array, ...]  # two upper triangles of a matrix; else one diagonal
_MAX_RMS = 1.1  # of an update: whitened it is about 1


class KronState(NamedTuple):
    """The momentum, and the preconditioner's factors for each leaf."""

    count: jax.Array  # i32[], gradients seen
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
    """Whitens the momentum with a preconditioner that is learned on the way.

    P = Q^T Q, with Q = Q_R (x) Q_L of upper triangles, minimises over noise v ~ N(0, I)

        E[g^T P g + v^T P^-1 v]

    by a relative gradient step on each factor: with A = Q_L G Q_R^T and
    B = Q_L^-T V Q_R^-1,

        Q_L <- Q_L - precond_learning_rate triu(A A^T - B B^T) Q_L / |A A^T + B B^T|

    and so for Q_R with A^T A and B^T B. At its minimum P g has unit covariance. The
    step is then -learning_rate P m, its root mean square at most 1.1.

    Args:
      learning_rate: f32[].
      b1: of the momentum m.
      precond_learning_rate: of the factors, relative to their size.
      weight_decay: times the rate, as in AdamW.
      mask: which leaves decay; None: all.
      update_interval: steps between two steps of the factors.
      max_dim: the longest side of a matrix with dense factors; other leaves have a
        diagonal.

    Returns:
      A transformation whose update takes the number of the step, `step`, and its `key`.

    Differs from the authors' code in the norm (Frobenius's, for an estimate of the
    spectral one), in a fixed interval (for a chance that falls), and in the first
    scale, which makes the first whitened gradient's root mean square 1.
    """
    return optax.chain(
        scale_by_kron(b1, precond_learning_rate, update_interval, max_dim),
        optax.add_decayed_weights(weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )


def scale_by_kron(
    b1: Number, precond_learning_rate: Number, update_interval: int, max_dim: int
) -> optax.GradientTransformationExtraArgs:
    """PSGD-Kron's direction; see `kron`."""

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
        started = [
            _started(m, old, state.count == 0)
            for m, old in zip(means, state.factors, strict=True)
        ]
        keys = jax.random.split(key, max(len(means), 1))

        def renewed() -> list[Factors]:
            return [
                _renewed(m, old, k, precond_learning_rate)
                for m, old, k in zip(means, started, keys, strict=True)
            ]

        is_due = step % update_interval == 0
        factors = jax.lax.cond(is_due, renewed, lambda: started)
        updates = [
            _clipped(_whitened(m, q)) for m, q in zip(means, factors, strict=True)
        ]
        return tree.unflatten(updates), KronState(count, mu, factors)

    return transformation(init, update)


def _identity(leaf: jax.Array, max_dim: int) -> Factors:
    if leaf.ndim >= 2 and leaf.size:
        sides = (leaf.size // leaf.shape[-1], leaf.shape[-1])
        if max(sides) <= max_dim:
            return tuple(jnp.eye(side) for side in sides)
    return (jnp.ones(leaf.size),)


def _matrix(leaf: jax.Array, factors: Factors) -> jax.Array:
    shape = (-1, leaf.shape[-1]) if len(factors) == 2 else (-1,)
    return leaf.reshape(shape).astype(factors[0].dtype)


def _started(mean: jax.Array, factors: Factors, is_first: jax.Array) -> Factors:
    """Before the first step, the scale at which P g has a root mean square of 1."""
    rms = jnp.sqrt(jnp.mean(jnp.square(mean)))
    scale = jnp.maximum(rms, 1e-12) ** (-0.5 / len(factors))
    return tuple(jnp.where(is_first, scale * q, q) for q in factors)


def _whitened(mean: jax.Array, factors: Factors) -> jax.Array:
    """P m, in the leaf's own shape and dtype."""
    m = _matrix(mean, factors)
    if len(factors) == 2:
        left, right = factors
        m = left.T @ (left @ m @ right.T) @ right
    else:
        m = jnp.square(factors[0]) * m
    return m.reshape(mean.shape).astype(mean.dtype)


def _clipped(update: jax.Array) -> jax.Array:
    rms = jnp.sqrt(jnp.mean(jnp.square(update)))
    return update * jnp.minimum(1.0, _MAX_RMS / jnp.maximum(rms, 1e-12))


def _renewed(mean: jax.Array, factors: Factors, key: Key, rate: Number) -> Factors:
    """One step of each factor on the whitening criterion."""
    g = _matrix(mean, factors)
    noise = jax.random.normal(key, g.shape, g.dtype)
    if len(factors) == 1:
        (q,) = factors
        a, b = jnp.square(q * g), jnp.square(noise / q)
        return (q - rate * (a - b) * q / _above_zero(jnp.max(a + b)),)
    left, right = factors
    a = left @ g @ right.T
    half = solve_triangular(left, noise, trans=1)  # Q_L^-T V
    b = solve_triangular(right, half.T, trans=1).T  # then Q_R^-1 from the right
    return (
        _stepped(left, a @ a.T, b @ b.T, rate),
        _stepped(right, a.T @ a, b.T @ b, rate),
    )


def _stepped(q: jax.Array, a: jax.Array, b: jax.Array, rate: Number) -> jax.Array:
    norm = _above_zero(jnp.linalg.norm(a + b))
    return q - rate * jnp.triu(a - b) @ q / norm


def _above_zero(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, jnp.finfo(x.dtype).tiny)
