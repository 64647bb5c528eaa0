"""The sharpness of each layer: of its diagonal block of the Hessian."""

from typing import Any

import jax
import jax.numpy as jnp

from gradjax.diagnostics.lanczos import lanczos, ritz
from gradjax.diagnostics.products import Loss, curvature
from gradjax.diagnostics.vectors import checked_count, random_unit
from gradjax.types import Batch, Key, Params


def layer_sharpness(
    loss: Loss,
    params: Params,
    batch: Batch = None,
    *,
    key: Key | None = None,
    num_products: int = 20,
) -> dict[str, jax.Array]:
    """Estimates the largest eigenvalue of the diagonal block of each layer.

    A layer is the leaves with the same parent, such as the weights and the biases of
    "Dense_0". Each value is at most the sharpness of the complete Hessian. All layers
    share one program, in which the Hessian is restricted by a mask; so the cost is
    (layers) * num_products Hessian products.

    Args:
      loss: (params, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of the loss, a pytree or None.
      key: of the random starts; None: jax.random.key(0).
      num_products: the number of Hessian products of each layer, at least 1.

    Returns:
      The path of the layer, such as "Dense_0" or "params" for leaves without a parent
      -> f[]. Layers without an element are left out.

    Raises:
      Refusal: a leaf that is not of floats, a number out of its range, or a loss that
        is not one number.
    """
    key = jax.random.key(0) if key is None else key
    num_products = checked_count("num_products", num_products, 1)
    local = curvature(loss, params, batch)
    names = layer_names(params)
    sizes = {name: 0 for name in names}
    for name, leaf in zip(names, jax.tree.leaves(params), strict=True):
        sizes[name] += jnp.size(leaf)
    layers = [name for name, size in sizes.items() if size]
    num_steps = min(num_products, max(sizes.values()))
    owners = _owners(params, [layers.index(n) if sizes[n] else 0 for n in names])

    def one(index: jax.Array) -> jax.Array:
        mask = (owners == index).astype(local.space.dtype)
        start_key, step_key = jax.random.split(jax.random.fold_in(key, index))
        start = mask * random_unit(start_key, local.space)

        def product(vector: jax.Array) -> jax.Array:
            return mask * local.product(vector)

        return ritz(lanczos(product, start, step_key, num_steps, mask)).values[-1]

    values = jax.lax.map(one, jnp.arange(len(layers)))
    return dict(zip(layers, values, strict=True))


def layer_names(params: Params) -> list[str]:
    """Returns the path of the layer of each leaf, such as "block_0/Dense_1"."""
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    return [
        jax.tree_util.keystr(path[:-1], simple=True, separator="/") or "params"
        for path in paths
    ]


def _owners(params: Params, owners: list[int]) -> Any:
    """Returns the number of the layer of each element, i32[n]."""
    parts = [
        jnp.full(jnp.size(leaf), owner, jnp.int32)
        for owner, leaf in zip(owners, jax.tree.leaves(params), strict=True)
    ]
    return jnp.concatenate(parts)
