"""Statistics of the activations of a network on one batch."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.diagnostics import attention_logits, trees
from gradjax.diagnostics.operations import Operation, following, operations
from gradjax.errors import Refusal
from gradjax.types import Batch, Params

Values = dict[str, jax.Array]


def activations(
    apply: Callable[[Params, Batch], Any] | None,
    params: Params,
    batch: Batch,
    threshold: float = 0.97,
) -> Values:
    """Computes statistics of module outputs, relu, tanh and attention on one batch.

    A unit is one index of the last axis: a feature of a dense layer, a channel of a
    convolution. A value of relu or tanh has the path of the module whose output came
    last before it. The second value of one kind at one path ends in `_2`. Values in the
    body of a loop, such as the gates of a recurrent layer, are not measured.

    Call it inside `jax.jit`; outside, all activations are kept until it returns.

    Args:
      apply: (params, batch) -> outputs, which applies linen modules.
      params: the parameters.
      batch: leaves [batch, ...]; a fixed subset for comparisons over time.
      threshold: |tanh| above which a value counts as saturated.

    Returns:
      f32[] each, by the path of a module such as "Dense_0":
        rms/PATH: the root mean square of the output of a module; the network itself
          has the path "outputs".
        mean_abs/PATH: the mean of its absolute values.
        dead/PATH: the fraction of relu units that are 0 in all examples and positions.
        zeros/PATH: the fraction of values of relu that are 0.
        saturated/PATH: the fraction of values of tanh with |tanh| > threshold.
        max_logit/PATH: the largest logit of an attention, after its mask.
        entropy/PATH: the mean entropy of its weights over queries, heads and examples,
          in nats: log T if T weights are equal.
        log_sum_exp/PATH: the largest log-sum-exp of the logits of a query.

    Raises:
        Refusal: there is no network, or it applies no linen module.
    """
    if apply is None:
        raise Refusal("activations: the problem has no network (`Problem.apply`)")
    from gradjax.models.outputs import marked  # imports flax, which takes long

    found = operations(marked(apply), params, batch)
    if not any(one.name == "name" and _path(one.params["name"]) for one in found):
        raise Refusal(
            "activations: the network applies no flax.linen module, so its layers have"
            " no names; expected a network of linen modules"
        )
    ordered = list(following(found, "inputs", _path))
    attentions = attention_logits.logits(ordered)
    return _numbered(_values(ordered, threshold)) | attention_logits.statistics(
        attentions
    )


def _values(
    ordered: Iterable[tuple[str, Operation]], threshold: float
) -> Iterable[tuple[str, jax.Array]]:
    """Yields the names and the values of modules, relu and tanh, in their order."""
    for path, one in ordered:
        if one.name == "name" and _path(one.params["name"]) is not None:
            x = trees.wide(one.results[0])
            yield f"rms/{path}", jnp.sqrt(jnp.mean(x * x))
            yield f"mean_abs/{path}", jnp.mean(jnp.abs(x))
        elif _is_relu(one):
            is_zero = one.results[0] == 0.0
            yield f"dead/{path}", _share(is_zero.all(axis=range(is_zero.ndim - 1)))
            yield f"zeros/{path}", _share(is_zero)
        elif one.name == "tanh":
            is_high = jnp.abs(trees.wide(one.results[0])) > threshold
            yield f"saturated/{path}", _share(is_high)


def _numbered(values: Iterable[tuple[str, jax.Array]]) -> Values:
    """Returns values by name; a repeated name gets a number, from `_2` on."""
    found: Values = {}
    for name, value in values:
        number, own = 1, name
        while own in found:
            number += 1
            own = f"{name}_{number}"
        found[own] = value
    return found


def _path(name: str) -> str | None:
    from gradjax.models.outputs import path_of

    path = path_of(name)
    return "outputs" if path == "" else path


def _is_relu(one: Operation) -> bool:
    """Whether an operation is the maximum of an activation and 0, as in `jax.nn.relu`.

    In the norms of flax the maximum of 0 and a variance has the operands in the other
    order, so it is not meant.
    """
    if one.name != "max":
        return False
    x, bound = one.operands
    is_number = not isinstance(bound, jax.Array) and np.ndim(bound) == 0
    return jnp.ndim(x) >= 2 and is_number and float(bound) == 0.0


def _share(is_true: jax.Array) -> jax.Array:
    return jnp.mean(is_true, dtype=jnp.float32)
