"""Angles between gradients and updates, and distances that the parameters move."""

from typing import Any

import jax
import jax.numpy as jnp

from gradjax.diagnostics import trees
from gradjax.types import Params

Memory = dict[str, Any]


def angles_memory(params: Params) -> Memory:
    """Returns the memory of `angles`: no gradient has been measured."""
    zeros = jax.tree.map(jnp.zeros_like, trees.widened(params))
    return {"grads": zeros}


def angles(
    grads: Params, updates: Params, memory: Memory
) -> tuple[dict[str, Any], Memory]:
    """Computes cosines of successive gradients, and of gradient and negative update.

    On a quadratic with curvatures from h to L the cosine of successive gradients of
    gradient descent tends to 1 for rates below 2 / (L + h), and to -1 above, because
    the mode with the largest |1 - rate * curvature| remains. The cosine of gradient and
    negative update is 1 for sgd without momentum, and negative for a step that raises
    the loss to first order.

    Args:
      grads: the gradient of the batch.
      updates: what the step added to the parameters.
      memory: the gradient of the previous measurement. Gradients are of successive
        steps only if every step is measured.

    Returns:
      The cosines `successive` and `descent` of the complete vectors, f32[], and
      `layer_successive` and `layer_descent` as trees of scalars; and the new memory. A
      cosine is NaN where a vector is 0, as `successive` at the first measurement.
    """
    before, now = memory["grads"], trees.widened(grads)
    sums = {
        "grads": trees.squares(now),
        "updates": trees.squares(updates),
        "before": trees.squares(before),
    }
    downhill = jax.tree.map(jnp.negative, trees.products(updates, now))
    values = {
        **_cosines("successive", trees.products(before, now), sums, "before"),
        **_cosines("descent", downhill, sums, "updates"),
    }
    return values, {"grads": now}


def _cosines(
    name: str, products: Params, sums: dict[str, Params], other: str
) -> dict[str, Any]:
    totals = [trees.total(tree) for tree in (products, sums["grads"], sums[other])]
    layers = jax.tree.map(trees.cosine, products, sums["grads"], sums[other])
    return {name: trees.cosine(*totals), f"layer_{name}": layers}


def distances_memory(params: Params) -> Memory:
    """Returns the memory of `distances`, given the parameters before the first step."""
    start = trees.widened(params)
    zero = jnp.zeros((), jnp.result_type(*jax.tree.leaves(start)))
    return {"start": start, "last": start, "length": zero}


def distances(params_after: Params, memory: Memory) -> tuple[dict[str, Any], Memory]:
    """Computes the distance from the initial parameters and the length of the path.

    The path is the polygon through the measured parameters. If every step is measured,
    its length is the sum of the norms of the updates; otherwise it is a lower bound of
    that sum.

    Args:
      params_after: the parameters after the step.
      memory: the initial parameters, the last measured ones, and the length so far.

    Returns:
      f32[] each: `from_start`, ||w_t - w_0||; `path_length`; `straightness`, their
      ratio, which is 1 for a straight path and NaN if nothing has moved; and
      `layer_from_start`, a tree of scalars. And the new memory.
    """
    now = trees.widened(params_after)
    layers = trees.squares(trees.difference(now, memory["start"]))
    moved = jnp.sqrt(trees.square(trees.difference(now, memory["last"])))
    length = memory["length"] + moved
    distance = jnp.sqrt(trees.total(layers))
    values = {
        "from_start": distance,
        "path_length": length,
        "straightness": trees.ratio(distance, length),
        "layer_from_start": trees.roots(layers),
    }
    return values, memory | {"last": now, "length": length}
