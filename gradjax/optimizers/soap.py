"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner.

Vyas, Morwani, Zhao, Shapira, Brandfonbrener, Janson and Kakade 2024, "SOAP: Improving
and Stabilizing Shampoo using Adam", algorithm 3.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradjax.optimizers import decompositions
from gradjax.optimizers.transformation import transformation
from gradjax.optimizers.weak import at_least_float32

Number = Any  # f32[], or a float
Bases = tuple[jax.Array, ...]  # one [rows, rows] and one [columns, columns]


class SoapState(NamedTuple):
    """The moments. A leaf that is not rotated has () as its factors and its bases."""

    count: jax.Array  # i32[], the number of gradients so far
    mu: Any  # the moving average of the gradient, not rotated
    nu: Any  # the moving average of the square of the rotated gradient
    factors: Any  # the moving averages of G G^T and of G^T G
    bases: Any  # the eigenvectors of the factors, in columns


def soap(
    learning_rate: Number,
    b1: Number = 0.95,
    b2: Number = 0.95,
    eps: Number = 1e-8,
    weight_decay: Number = 0.01,
    mask: Any = None,
    update_interval: int = 10,
    max_dim: int = 1024,
) -> optax.GradientTransformationExtraArgs:
    """Adam in the eigenbasis of Shampoo's preconditioner.

    Let L and R be the moving averages of G G^T and G^T G, with eigenvectors P and Q, m
    that of G, and v that of (P^T G Q)^2, both with bias correction. Then

        update = -learning_rate (P N Q^T + weight_decay params),
        N = P^T m Q / (sqrt(v) + eps)

    The first gradient only sets the bases. A leaf with more than two axes is treated as
    a matrix whose columns are its last axis. A leaf with fewer than two axes, or with a
    side longer than `max_dim`, is updated as in Adam.

    Args:
      learning_rate: f32[].
      b1: the decay of m.
      b2: the decay of v, L and R.
      eps: a constant added to the root.
      weight_decay: a factor of the parameters, multiplied by the rate as in AdamW.
      mask: the leaves that decay; None for all.
      update_interval: the number of steps between two updates of the bases.
      max_dim: the longest side of a matrix that is rotated.

    Returns:
      A transformation whose update takes the number of the step, `step`.

    Differs from the paper in that a matrix with one side longer than `max_dim` is not
    rotated at all.
    """
    return optax.chain(
        scale_by_soap(b1, b2, eps, update_interval, max_dim),
        optax.add_decayed_weights(weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )


def scale_by_soap(
    b1: Number, b2: Number, eps: Number, update_interval: int, max_dim: int
) -> optax.GradientTransformationExtraArgs:
    """Computes SOAP's direction; see `soap`."""

    def init(params: Any) -> SoapState:
        zeros = optax.tree.zeros_like(params)
        sides = _per_leaf(lambda x: _sides(x, max_dim), params)
        kinds = _per_leaf(at_least_float32, params)
        pairs = list(zip(sides, kinds, strict=True))
        factors = [tuple(jnp.zeros((n, n), kind) for n in s) for s, kind in pairs]
        bases = [tuple(jnp.eye(n, dtype=kind) for n in s) for s, kind in pairs]
        return SoapState(jnp.int32(0), zeros, zeros, factors, bases)

    def update(
        grads: Any, state: SoapState, params: Any = None, *, step: jax.Array
    ) -> tuple[Any, SoapState]:
        del params
        leaves, tree = jax.tree.flatten(grads)
        is_first, is_due = state.count == 0, step % update_interval == 0
        rotated = tree.unflatten(map(_rotate, leaves, state.bases))
        moments = (
            optax.tree.update_moment(grads, state.mu, b1, 1),
            optax.tree.update_moment(rotated, state.nu, b2, 2),
        )
        mu, nu = jax.tree.map(
            lambda new, old: jnp.where(is_first, old, new),
            moments,
            (state.mu, state.nu),
        )
        directions = [
            _direction(m, v, bases, (b1, b2, eps), state.count)
            for m, v, bases in zip(
                jax.tree.leaves(mu), jax.tree.leaves(nu), state.bases, strict=True
            )
        ]
        updates = [jnp.where(is_first, jnp.zeros_like(d), d) for d in directions]
        factors = [
            _average(g, old, b2) for g, old in zip(leaves, state.factors, strict=True)
        ]
        bases = jax.lax.cond(
            is_due,
            lambda: [
                tuple(_update_basis(f, q, is_first) for f, q in zip(*pair, strict=True))
                for pair in zip(factors, state.bases, strict=True)
            ],
            lambda: state.bases,
        )
        new_state = SoapState(state.count + 1, mu, nu, factors, bases)
        return tree.unflatten(updates), new_state

    return transformation(init, update)


def _per_leaf(function: Any, params: Any) -> list[Any]:
    return [function(leaf) for leaf in jax.tree.leaves(params)]


def _sides(leaf: jax.Array, max_dim: int) -> tuple[int, ...]:
    """Returns the two sides of a leaf as a matrix, or () if it is not rotated."""
    if leaf.ndim < 2 or leaf.size == 0:
        return ()
    columns = leaf.shape[-1]
    sides = (leaf.size // columns, columns)
    return sides if max(sides) <= max_dim else ()


def _matrix(leaf: jax.Array) -> jax.Array:
    return leaf.reshape(-1, leaf.shape[-1])


def _rotate(leaf: jax.Array, bases: Bases) -> jax.Array:
    """Computes P^T G Q, in the shape of the leaf."""
    if not bases:
        return leaf
    rows, columns = bases
    return (rows.T @ _matrix(leaf) @ columns).reshape(leaf.shape).astype(leaf.dtype)


def _direction(
    m: jax.Array,
    v: jax.Array,
    bases: Bases,
    numbers: tuple[Number, Number, Number],
    count: jax.Array,
) -> jax.Array:
    """Computes Adam's direction in the bases and rotates it back.

    `count` is the number of gradients in both moments.
    """
    b1, b2, eps = numbers
    seen = jnp.maximum(count, 1).astype(float)
    mean = _rotate(m, bases) / (1.0 - b1**seen)
    square = v / (1.0 - b2**seen)
    direction = mean / (jnp.sqrt(square) + eps)
    return _rotate(direction, tuple(q.T for q in bases)).astype(m.dtype)


def _average(leaf: jax.Array, factors: Bases, b2: Number) -> Bases:
    """Updates the moving averages of G G^T and G^T G."""
    if not factors:
        return ()
    g = _matrix(leaf)
    new = (g @ g.T, g.T @ g)
    return tuple(
        (b2 * old + (1.0 - b2) * x).astype(old.dtype)
        for old, x in zip(factors, new, strict=True)
    )


def _update_basis(
    factor: jax.Array, basis: jax.Array, is_first: jax.Array
) -> jax.Array:
    """Updates eigenvectors with one step of orthogonal iteration (algorithm 4).

    The first update computes them exactly.
    """
    return jax.lax.cond(
        is_first,
        lambda: decompositions.eigh(factor)[1],
        lambda: decompositions.orthogonal(factor @ basis),
    )
