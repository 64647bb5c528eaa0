"""Random directions whose filters have the norms of those of the parameters.

A random direction d is scaled so that each of its filters has the norm of the same
filter of w, because the sharpness of a slice otherwise depends on the scale of the
weights, which a network with normalisation or relu can change without any effect:

    d_j = ||w_j|| z_j / ||z_j||,    z standard normal

Source: Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 4.
"""

from typing import Any

import jax
import jax.numpy as jnp

from gradjax.errors import Refusal
from gradjax.types import Key, Params


def random_direction(params: Params, key: Key, vectors: bool = False) -> Params:
    """Draws a filter-normalised direction: d_j = ||w_j|| z_j / ||z_j||, z normal.

    Args:
      params: the parameters w, a pytree of floats.
      key: of the draw.
      vectors: see `normalise_filters`.

    Returns:
      A pytree like the parameters. Their leaves may be bfloat16; those of the direction
      are at least float32.

    Raises:
        Refusal: the direction would be 0, because no leaf has two axes or more.
    """
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, max(len(leaves), 1))
    drawn = [
        jax.random.normal(one, jnp.shape(leaf), accurate(leaf))
        for one, leaf in zip(keys, leaves, strict=False)
    ]
    return normalise_filters(jax.tree.unflatten(structure, drawn), params, vectors)


def normalise_filters(
    direction: Params, params: Params, vectors: bool = False
) -> Params:
    """Gives each filter of a direction the norm of the same filter of the parameters.

    A filter is a slice of a leaf at one index of its last axis, on which linen has the
    outputs: the weights of one unit of a Dense layer, f[inputs], or of one channel of a
    convolution, f[height, width, inputs].

    Args:
      direction: a pytree like the parameters. A filter of zeros stays 0.
      params: the parameters.
      vectors: whether a leaf with one axis, or none, is one filter. Without it such a
        leaf, which is a bias or a scale of a normalisation, gets the direction 0.

    Raises:
        Refusal: the structures or the shapes differ, or the direction would be 0,
            because no leaf has two axes or more.
    """
    check_alike(direction, params, "the direction", "the parameters")
    if not vectors and all(jnp.ndim(leaf) < 2 for leaf in jax.tree.leaves(params)):
        raise Refusal(
            "no parameter has two axes or more, so the direction is 0 everywhere:"
            " vectors=True gives vectors a direction, too"
        )

    def scaled(d: Any, w: Any) -> jax.Array:
        if jnp.ndim(w) < 2 and not vectors:
            return jnp.zeros(jnp.shape(w), accurate(w))
        length = _filter_norms(d)
        is_zero = length == 0.0
        factor = jnp.where(is_zero, 0.0, _filter_norms(w)) / jnp.where(
            is_zero, 1.0, length
        )
        return jnp.asarray(d, accurate(d)) * factor

    return jax.tree.map(scaled, direction, params)


def accurate(leaf: Any) -> Any:
    """Returns the type in which sums over a leaf are computed: float32 or float64."""
    return jnp.promote_types(jnp.asarray(leaf).dtype, jnp.float32)


def check_alike(tree: Params, params: Params, what: str, like: str) -> None:
    """Refuses a pytree whose structure or shapes are not those of the parameters."""
    if jax.tree.structure(tree) != jax.tree.structure(params):
        raise Refusal(f"{what} has another structure than {like}")
    leaves, others = jax.tree.leaves(tree), jax.tree.leaves(params)
    for one, other in zip(leaves, others, strict=True):
        if jnp.shape(one) != jnp.shape(other):
            shapes = f"{list(jnp.shape(one))} and {list(jnp.shape(other))}"
            raise Refusal(f"{what} and {like} have leaves of shapes {shapes}")


def _filter_norms(leaf: Any) -> jax.Array:
    """Returns the norm of each filter, with axes of length 1 so that it broadcasts."""
    values = jnp.asarray(leaf, accurate(leaf))
    axes = tuple(range(values.ndim - 1)) if values.ndim > 1 else None
    return jnp.sqrt(jnp.sum(values**2, axis=axes, keepdims=True))
