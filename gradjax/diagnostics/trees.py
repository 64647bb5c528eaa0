"""Sums, products and ratios of trees of arrays, in float32 or wider.

Numbers narrower than float32, such as bfloat16 with 8 significant bits, are converted
before they are squared or summed.
"""

from typing import Any

import jax
import jax.numpy as jnp

Tree = Any  # a pytree of arrays; a tree of scalars has one f32[] per leaf


def wide(x: jax.Array) -> jax.Array:
    """Returns an array as float32, or unchanged if it is float64."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def widened(tree: Tree) -> Tree:
    """Returns a tree with every leaf as float32 or float64."""
    return jax.tree.map(lambda x: wide(jnp.asarray(x)), tree)


def as_params(tree: Tree, params: Tree) -> Tree:
    """Returns a tree in the types of the parameters, as `jax.jvp` needs a tangent."""
    return jax.tree.map(lambda x, p: x.astype(p.dtype), tree, params)


def squares(tree: Tree) -> Tree:
    """Computes the sum of the squares of each leaf: a tree of scalars."""
    return jax.tree.map(lambda x: jnp.sum(x * x), widened(tree))


def products(left: Tree, right: Tree) -> Tree:
    """Computes the inner product of each pair of leaves: a tree of scalars."""
    return jax.tree.map(lambda x, y: jnp.sum(x * y), widened(left), widened(right))


def total(scalars: Tree) -> jax.Array:
    """Computes the sum of a tree of scalars: f32[]."""
    return jnp.stack(jax.tree.leaves(scalars)).sum()


def dot(left: Tree, right: Tree) -> jax.Array:
    """Computes the inner product of two trees: f32[]."""
    return total(products(left, right))


def square(tree: Tree) -> jax.Array:
    """Computes the square of the norm of a tree: f32[]."""
    return total(squares(tree))


def roots(scalars: Tree) -> Tree:
    """Computes the square root of every leaf of a tree of scalars."""
    return jax.tree.map(jnp.sqrt, scalars)


def difference(left: Tree, right: Tree) -> Tree:
    """Computes left - right, in float32 or wider."""
    return jax.tree.map(jnp.subtract, widened(left), widened(right))


def ratio(above: jax.Array, below: jax.Array) -> jax.Array:
    """Computes above / below; NaN where the denominator is not above 0."""
    is_defined = below > 0.0
    return jnp.where(is_defined, above / jnp.where(is_defined, below, 1.0), jnp.nan)


def cosine(product: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
    """Computes the cosine of an angle in [-1, 1]; NaN where a vector is 0.

    Args:
      product: f32[], the inner product of the two vectors.
      left: f32[], the square of the norm of the first one.
      right: f32[], the square of the norm of the second one.
    """
    # The roots are taken first, because the product of two squares may overflow.
    return jnp.clip(ratio(product, jnp.sqrt(left) * jnp.sqrt(right)), -1.0, 1.0)
