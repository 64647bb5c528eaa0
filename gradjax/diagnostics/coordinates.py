"""The sizes of the outputs of a network's layers, for a check across widths."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradjax.diagnostics import attention_logits, trees
from gradjax.diagnostics.operations import following, operations
from gradjax.errors import Refusal
from gradjax.types import Batch, Params

LOGITS_END = " logits"  # of the name of the logits of an attention
_MASKED = -1e8  # lower logits of an attention are those of masked positions


class Coordinates(NamedTuple):
    """The sizes of the outputs of one layer.

    Attributes:
      size: f32[], the mean of their absolute values.
      change: f32[], the mean of the absolute values of their change.
      num_features: the size of their last axis; of the logits of attentions their
        number, which grows with the number of heads.
    """

    size: jax.Array
    change: jax.Array
    num_features: int


def coordinates(
    apply: Callable[[Params, Batch], Any] | None,
    params: Params,
    start: Params,
    batch: Batch,
) -> dict[str, Coordinates]:
    """Computes the sizes of all outputs of modules, and of the logits of attentions.

    Args:
      apply: (params, batch) -> outputs, which applies linen modules.
      params: the parameters now.
      start: the parameters from which changes are measured.
      batch: leaves [batch, ...].

    Returns:
      The Coordinates by the path of a module, such as "Dense_0"; the network itself has
      the path "outputs", and the logits of an attention, without those that are masked,
      have the path of the attention and LOGITS_END.

    Raises:
        Refusal: there is no network, or it applies no linen module.

    Source: mean absolute values over widths are the coordinate check of Yang et al.
    2022, appendix D.1.
    """
    if apply is None:
        raise Refusal("width check: the problem has no network (`Problem.apply`)")
    now, before = (_outputs(apply, one, batch) for one in (params, start))
    return {name: _coordinates(x, before[name]) for name, x in now.items()}


def _coordinates(x: jax.Array, before: jax.Array) -> Coordinates:
    is_real = x > _MASKED
    count = jnp.maximum(jnp.sum(is_real, dtype=jnp.float32), 1.0)

    def mean(values: jax.Array) -> jax.Array:
        return jnp.where(is_real, jnp.abs(values), 0.0).sum() / count

    return Coordinates(mean(x), mean(x - before), x.shape[-1])


def _outputs(
    apply: Callable[..., Any], params: Params, batch: Batch
) -> dict[str, jax.Array]:
    from gradjax.models.outputs import marked, path_of  # imports flax

    def path(name: str) -> str | None:
        found = path_of(name)
        return "outputs" if found == "" else found

    ordered = list(following(operations(marked(apply), params, batch), "inputs", path))
    found: dict[str, jax.Array] = {}
    for name, one in ordered:
        if one.name == "name" and path(one.params["name"]) is not None:
            found[_unused(name, found)] = trees.wide(one.results[0])
    if not found:
        raise Refusal(
            "width check: the network applies no flax.linen module, so its layers have"
            " no names; expected a network of linen modules"
        )
    for name, parts in attention_logits.logits(ordered).items():
        flat = [trees.wide(part).reshape(-1) for part in parts]
        found[f"{name}{LOGITS_END}"] = jnp.concatenate(flat)
    return found


def _unused(name: str, found: dict[str, Any]) -> str:
    """Returns a name, with a number from the second use of it on."""
    number, own = 1, name
    while own in found:
        number += 1
        own = f"{name}_{number}"
    return own
