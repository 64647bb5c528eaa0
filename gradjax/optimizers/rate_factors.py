"""Factors of the learning rate, one for each leaf of the parameters.

A parametrization such as muP gives each leaf a factor, which depends on how the update
of an optimizer depends on the gradient. So each known rule belongs to a family:

  adam: each entry of an update depends on its own gradients alone, and not on their
    scale: Adam, RMSprop, Lion.
  sgd: the update is linear in the gradients: SGD, also with momentum.

RAdam is in neither, because its first steps are those of SGD. Neither are rules that
look at a complete matrix or estimate their own rate. They are refused.
"""

from collections.abc import Iterator
from typing import Any

import jax
import optax

from gradjax.errors import Refusal
from gradjax.optimizers.build import children, name_of, nodes
from gradjax.optimizers.transformation import Transformation, transformation
from gradjax.types import Entry, OptimizerSpec, RateFactors

_ADAM = (
    *("acprop", "adabelief", "adagrad", "adam", "adamax", "adamaxw", "adamw", "adan"),
    *("ademamix", "adopt", "amsgrad", "lion", "nadam", "nadamw", "optimistic_adam"),
    *("optimistic_adam_v2", "rmsprop", "rprop", "sign_sgd", "signum"),
    *("simplified_ademamix", "yogi"),
)
_ADAM_TRANSFORMS = (
    *("scale_by_acprop", "scale_by_adam", "scale_by_adamax", "scale_by_adan"),
    *("scale_by_ademamix", "scale_by_adopt", "scale_by_amsgrad", "scale_by_belief"),
    *("scale_by_lion", "scale_by_rms", "scale_by_rss"),
    *("scale_by_sign", "scale_by_simplified_ademamix", "scale_by_stddev"),
    "scale_by_yogi",
)
FAMILIES: dict[str, str] = {
    **dict.fromkeys((*_ADAM, *_ADAM_TRANSFORMS), "adam"),
    **dict.fromkeys(("optimistic_gradient_descent", "sgd"), "sgd"),
}
# Transforms whose output is linear in the gradients, as long as nothing is cut off.
_LINEAR = (
    *("add_decayed_weights", "apply_every", "clip", "clip_by_block_rms"),
    *("clip_by_global_norm", "ema", "identity", "scale", "scale_by_learning_rate"),
    *("trace", "zero_nans"),
)


def with_rate_factors(
    optimizer: OptimizerSpec, factors: RateFactors | None, entries: dict[str, Entry]
) -> OptimizerSpec:
    """Returns the spec with the factors applied to every rule inside it.

    Wrappers stay outside, because they may compare parameters with updates.

    Args:
      optimizer: the static spec.
      factors: of the problem; None: the spec is returned as it is.
      entries: name -> entry of all known rules.

    Raises:
        Refusal: the family of a rule is not known, or a chain has rules of two.
    """
    if factors is None:
        return optimizer
    names = {id(entry): name for name, entry in entries.items()}
    made = _with(optimizer, factors, names)
    return made._replace(rates=optimizer.rates, scheduled=optimizer.scheduled)


def _with(
    node: OptimizerSpec, factors: RateFactors, names: dict[int, str]
) -> OptimizerSpec:
    entry, inside = node.entry, children(node)
    is_chain = "*" in entry.inner
    holds_wrapper = any(child.entry.inner for child in inside)
    if not entry.inner or (is_chain and not holds_wrapper):
        return _scaled(node, getattr(factors, _family(node, factors, names)))

    def inner(value: Any) -> Any:
        if not isinstance(value, OptimizerSpec) or _is_linear(value, names):
            return value
        return _with(value, factors, names)

    return node._replace(
        args=tuple(map(inner, node.args)),
        kwargs=tuple((name, inner(value)) for name, value in node.kwargs),
    )


def _is_linear(node: OptimizerSpec, names: dict[int, str]) -> bool:
    """Whether a part of a composition needs no factor: a clip, or `set_to_zero`."""
    name = names.get(id(node.entry))
    return name in (*_LINEAR, "set_to_zero") and name != "scale_by_learning_rate"


def _family(node: OptimizerSpec, factors: RateFactors, names: dict[int, str]) -> str:
    """Returns the family of a rule, or of a chain without wrappers."""
    if factors.family is not None:
        return factors.family
    found = set(_families(node, names))
    if len(found) > 1:
        raise Refusal(
            f"parametrization: {name_of(node)} has rules of the families adam and sgd;"
            " expected one"
        )
    return found.pop() if found else "sgd"  # a chain of linear transforms


def _families(node: OptimizerSpec, names: dict[int, str]) -> Iterator[str]:
    for one in nodes(node):
        name = names.get(id(one.entry), "")
        if name in FAMILIES:
            yield FAMILIES[name]
        elif name not in _LINEAR and not one.entry.inner:
            hint = "" if name else "; of your own rule, mup(family=adam) says it"
            raise Refusal(
                f"parametrization: {name_of(one)} is neither of the family of adam"
                " (each entry of an update depends on its own gradients, but not on"
                f" their scale) nor of sgd (linear in gradients){hint}"
            )


def _scaled(node: OptimizerSpec, factors: Any) -> OptimizerSpec:
    def scaled(inner: Transformation) -> Transformation:
        return scaled_by_leaf(inner, factors)

    scaled.__name__ = name_of(node)
    entry = Entry(scaled, rate=None, gradient="inner", inner=("inner",))
    return OptimizerSpec(entry, kwargs=(("inner", node),), rates=node.rates)


def scaled_by_leaf(inner: Transformation, factors: Any) -> Transformation:
    """Multiplies the learning rate of a rule by a factor of each leaf.

    The updates are multiplied. The rule gets the parameters divided by the factor, so
    that weight decay, which is linear in them, keeps its strength: a leaf decays by the
    factor 1 - learning_rate * weight_decay a step, at every width, as in the package
    mup. (Updates that were only multiplied would make it weaker in wider layers.)

    Args:
      inner: the rule; it may use the parameters for weight decay alone.
      factors: a pytree of floats above 0, one for each leaf of the parameters.
    """

    def update(
        grads: Any, state: Any, params: Any = None, **extras: Any
    ) -> tuple[Any, Any]:
        seen = None if params is None else _times(params, factors, -1)
        updates, state = inner.update(grads, state, seen, **extras)
        return _times(updates, factors, 1), state

    return transformation(inner.init, update)


def _times(tree: Any, factors: Any, power: int) -> Any:
    """Multiplies every leaf by a power of its factor; a factor of 1 costs nothing."""

    def times(leaf: Any, factor: float) -> Any:
        if _is_masked(leaf) or factor == 1.0:
            return leaf
        return leaf * jax.numpy.asarray(factor**power, leaf.dtype)

    return jax.tree.map(times, tree, factors, is_leaf=_is_masked)


def _is_masked(node: Any) -> bool:
    """Whether a leaf is hidden, as `partition` hides those of another rule."""
    return isinstance(node, optax.MaskedNode)
