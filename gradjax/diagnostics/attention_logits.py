"""The logits of attentions, found among the operations of a network.

Attention is a softmax whose weights are multiplied by the values: exp(x - max x) over
the last axis of x, whose result reaches a matrix product through operations of single
elements alone. This finds the attention of gradjax, that of flax, and those written by
hand, with any mask; and it leaves out a softmax of the outputs of a network.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradjax.diagnostics import trees
from gradjax.diagnostics.operations import Operation

Logits = dict[str, list[jax.Array]]  # path -> f32[..., queries, memory] each

# Operations after which a value still stands for what it was made of.
_OF_MAXIMUM = ("broadcast_in_dim", "stop_gradient", "reshape", "max", "name")
_OF_WEIGHTS = ("convert_element_type", "div", "mul", "select_n", "transpose")
_OF_WEIGHTS += ("reshape", "broadcast_in_dim", "name", "squeeze")


def logits(operations: Iterable[tuple[str, Operation]]) -> Logits:
    """Finds the logits of every attention.

    Args:
      operations: each with the path of the module whose output came last before it. The
        path of an attention is the module around that one, because its last module
        makes queries, keys or values.

    Returns:
      The logits after the mask, by path. An attention that is computed in parts, or
      applied more than once, has several arrays.
    """
    trail = _Trail({}, {}, {})
    found: Logits = {}
    counted: set[int] = set()
    for layer, one in operations:
        _follow(trail, one, layer)
        if one.name != "dot_general":
            continue
        for known, last in filter(None, map(trail.weights.get, map(id, one.operands))):
            if id(known) not in counted:
                counted.add(id(known))
                path = last.rpartition("/")[0] or last
                found.setdefault(path, []).append(known)
    return found


def statistics(found: Logits) -> dict[str, jax.Array]:
    """Computes the largest logit, the entropy and the log-sum-exp of each attention.

    Args:
      found: of `logits`.

    Returns:
      f32[] each, by the path of the attention: `max_logit/PATH`; `entropy/PATH`, the
      mean over all queries, in nats; and `log_sum_exp/PATH`, the largest of a query.
    """
    values = {}
    for path, parts in found.items():
        per_part = [_per_query(trees.wide(x)) for x in parts]
        highest, sums, entropy = (
            jnp.concatenate(x) for x in zip(*per_part, strict=True)
        )
        values[f"max_logit/{path}"] = highest.max()
        values[f"entropy/{path}"] = entropy.mean()
        values[f"log_sum_exp/{path}"] = sums.max()
    return values


def _per_query(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Computes the maximum, log-sum-exp and entropy of each query: f32[queries]."""
    x = x.reshape(-1, x.shape[-1])
    highest = x.max(axis=-1)
    away = x - highest[:, None]
    total = jnp.exp(away).sum(axis=-1)
    weights = jnp.exp(away) / total[:, None]
    # A masked logit may be -inf, and its product with the weight 0 is NaN.
    mean = jnp.where(weights > 0.0, weights * away, 0.0).sum(axis=-1)
    return highest, highest + jnp.log(total), jnp.log(total) - mean


class _Trail(NamedTuple):
    """What values stand for, by their id: the logits that they were made of."""

    maxima: dict[int, Any]
    shifted: dict[int, Any]
    weights: dict[int, tuple[Any, str]]  # and the path of the module before them


def _follow(trail: _Trail, one: Operation, layer: str) -> None:
    """Notes what the result of one operation stands for."""
    if not one.results:
        return
    ids, result = [id(x) for x in one.operands], id(one.results[0])
    if one.name == "reduce_max" and _is_last(one):
        trail.maxima[result] = one.operands[0]
    elif one.name == "sub" and trail.maxima.get(ids[1]) is one.operands[0]:
        trail.shifted[result] = one.operands[0]
    elif one.name == "exp" and ids[0] in trail.shifted:
        trail.weights[result] = trail.shifted[ids[0]], layer
    for names, known in ((_OF_MAXIMUM, trail.maxima), (_OF_WEIGHTS, trail.weights)):
        if one.name in names:
            before = next((known[i] for i in ids if i in known), None)
            known.update({} if before is None else {result: before})


def _is_last(one: Operation) -> bool:
    return tuple(one.params["axes"]) == (one.operands[0].ndim - 1,)
