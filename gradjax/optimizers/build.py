"""Construction of a transformation from an OptimizerSpec, and queries of a spec.

`build` inserts the numbers of the current step inside the traced step. So a sweep over
any number compiles once. (`optax.inject_hyperparams` fails with adafactor, lbfgs, adopt
and galore and changes the numerics of Adam; optimistic_adam, rprop and sm3 refuse
schedules that are callables. Construction inside the step has neither problem.)
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradjax.optimizers import own
from gradjax.optimizers.transformation import pair, transformation
from gradjax.optimizers.weak import apply_weakly
from gradjax.types import Entry, Hparams, Key, OptimizerSpec, TracedNumber


class Recorded(NamedTuple):
    """The state of a rule, and the figures of its last update."""

    inner_state: Any
    figures: dict[str, jax.Array]  # step_size, num_gradients: f32[] each


class Marked(NamedTuple):
    """The state of a rule of the user that has evaluation parameters of its own."""

    inner_state: Any


def build(
    optimizer: OptimizerSpec, numbers: Hparams, key: Key | None = None
) -> optax.GradientTransformationExtraArgs:
    """Builds the transformation of a spec and its numbers; called inside the trace.

    Args:
      optimizer: the static spec.
      numbers: path -> f32[], the traced numbers.
      key: the key of the optimizer's randomness. Only `init` needs it, because the
        state carries the keys that are derived from it.

    Returns:
      A transformation whose update takes every extra and passes to each rule the extras
      that its entry needs. The numbers have weak types in it, as Python's floats have,
      so they do not promote the state of a rule for bfloat16 parameters.
    """

    def init(params: Any) -> Any:
        return apply_weakly(
            lambda weak: _build(optimizer, weak, key).init(params), numbers
        )

    def update(grads: Any, state: Any, params: Any = None, **extras: Any) -> Any:
        return apply_weakly(
            lambda weak: _build(optimizer, weak, key).update(
                grads, state, params, **extras
            ),
            numbers,
        )

    return transformation(init, update)


def _build(
    optimizer: OptimizerSpec, numbers: Hparams, key: Key | None
) -> optax.GradientTransformationExtraArgs:
    """Builds the transformation of a spec and of the specs inside it."""
    entry = optimizer.entry
    rule, kwargs = made(optimizer, numbers, key)
    rule = _with_needed_extras(rule, entry)
    rule = _with_plain_keys(rule) if entry.key or entry.is_own else rule
    rule = _with_figures(rule, entry, kwargs)
    return _marked(rule) if isinstance(entry.eval_params, own.AtOwnState) else rule


def made(
    optimizer: OptimizerSpec, numbers: Hparams, key: Key | None = None
) -> tuple[optax.GradientTransformation, dict[str, Any]]:
    """Calls the factory of a spec; the rules inside it are built.

    Args: see `build`.

    Returns:
      What the factory has made, and the named arguments that it was given, apart from
      the key.
    """
    count = itertools.count(1)

    def own_key(inner: OptimizerSpec) -> Key | None:
        if key is None or not any(node.entry.key for node in nodes(inner)):
            return None
        return jax.random.fold_in(key, next(count))

    def filled(value: Any) -> Any:
        if isinstance(value, TracedNumber):
            return numbers[value.path]
        if isinstance(value, OptimizerSpec):
            return _build(value, numbers, own_key(value))
        return tuple(map(filled, value)) if isinstance(value, tuple) else value

    entry = optimizer.entry
    kwargs = {name: filled(value) for name, value in optimizer.kwargs}
    given = {**kwargs, entry.key: _key(key)} if entry.key else kwargs
    rule = entry.make(*map(filled, optimizer.args), **given)
    return own.as_transformation(rule, name_of(optimizer)), kwargs


def name_of(optimizer: OptimizerSpec) -> str:
    """Returns the name of the outermost rule, for a message."""
    make = optimizer.entry.make
    if isinstance(make, own.Finished):
        return make.name
    return getattr(make, "__name__", "the optimizer")


def nodes(optimizer: OptimizerSpec) -> Iterator[OptimizerSpec]:
    """Yields the spec and every spec inside it."""
    yield optimizer
    for child in children(optimizer):
        yield from nodes(child)


def children(optimizer: OptimizerSpec) -> list[OptimizerSpec]:
    """Returns the specs that are arguments of the spec."""
    values = (*optimizer.args, *(value for _, value in optimizer.kwargs))
    return [value for value in values if isinstance(value, OptimizerSpec)]


def needs(optimizer: OptimizerSpec) -> frozenset[str]:
    """Returns the names of the extra arguments that the rules of the spec take."""
    return frozenset(
        name for node in nodes(optimizer) for name in node.entry.needs or ()
    )


def gradient(optimizer: OptimizerSpec) -> str:
    """Returns the kind of gradient that the outermost rule takes.

    It is "batch", the gradient of a batch, or "per_example", one for each example.
    """
    if optimizer.entry.gradient == "inner":
        return gradient(children(optimizer)[0])
    return optimizer.entry.gradient


def num_gradients(optimizer: OptimizerSpec) -> int:
    """Returns the number of gradients of one step, without those `figures` counts."""
    counts = [node.entry.num_gradients for node in nodes(optimizer)]
    return 1 + sum(count - 1 for count in counts if isinstance(count, int))


def figures(optimizer: OptimizerSpec, opt_state: Any) -> dict[str, jax.Array]:
    """Collects the figures of the last step from the states of all rules.

    Returns:
      `step_size`, f32[], of the outermost rule that determines its step size, and
      `num_gradients`, f32[], if it varies from step to step.
    """
    records = list(_records(opt_state))
    sizes = [r["step_size"] for r in records if "step_size" in r]
    counts = [r["num_gradients"] for r in records if "num_gradients" in r]
    seen = {"step_size": sizes[0]} if sizes else {}
    if counts:
        beside = jnp.float32(num_gradients(optimizer))
        seen["num_gradients"] = beside + sum(count - 1.0 for count in counts)
    return seen


def has_eval_params(optimizer: OptimizerSpec) -> bool:
    """Returns whether a rule is evaluated at other parameters than those it updates."""
    return any(node.entry.eval_params is not None for node in nodes(optimizer))


def eval_params(optimizer: OptimizerSpec, opt_state: Any, params: Any) -> Any:
    """Returns the parameters to evaluate: averaged ones, if the optimizer averages."""
    for node in nodes(optimizer):
        own_params = node.entry.eval_params
        if isinstance(own_params, own.AtOwnState):
            state = find_state(Marked, opt_state).inner_state
            return own_params.function(state, params)
        if own_params is not None:
            return own_params(opt_state, params)
    return params


def find_state(kind: Any, opt_state: Any) -> Any:
    """Returns the outermost state in `opt_state` of a type or of a tuple of types."""

    def is_found(node: Any) -> bool:
        return isinstance(node, kind)

    return next(filter(is_found, jax.tree.leaves(opt_state, is_leaf=is_found)))


def _records(opt_state: Any) -> Iterator[dict[str, jax.Array]]:
    def is_record(node: Any) -> bool:
        return isinstance(node, Recorded)

    for node in filter(is_record, jax.tree.leaves(opt_state, is_leaf=is_record)):
        yield node.figures
        yield from _records(node.inner_state)


def _key(key: Key | None) -> Key:
    return jax.random.key(0) if key is None else key


def _with_needed_extras(
    rule: Any, entry: Entry
) -> optax.GradientTransformationExtraArgs:
    """Accepts all extras and passes on only those that the rule needs.

    This is necessary because lbfgs raises an error for an extra that it does not know.
    A wrapper passes on all extras, because the rules inside it choose by themselves.
    """
    if entry.inner:
        return optax.with_extra_args_support(rule)

    def update(updates: Any, state: Any, params: Any = None, **extras: Any) -> Any:
        needed = {name: extras[name] for name in entry.needs or ()}
        return pair(rule.update(updates, state, params, **needed))

    return transformation(rule.init, update)


def _with_plain_keys(rule: Any) -> optax.GradientTransformationExtraArgs:
    """Stores random keys as raw numbers, so that a state contains only plain arrays."""

    def is_key(leaf: Any) -> bool:
        return jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key)

    def plain(state: Any) -> Any:
        return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, state)

    def init(params: Any) -> Any:
        return plain(rule.init(params))

    def update(updates: Any, state: Any, params: Any = None, **extras: Any) -> Any:
        typed = jax.eval_shape(rule.init, params)
        state = jax.tree.map(
            lambda kind, x: jax.random.wrap_key_data(x) if is_key(kind) else x,
            typed,
            state,
        )
        updates, state = rule.update(updates, state, params, **extras)
        return updates, plain(state)

    return transformation(init, update)


def _marked(rule: Any) -> optax.GradientTransformationExtraArgs:
    """Stores the state of a rule so that it can be found in the state of a run."""

    def init(params: Any) -> Marked:
        return Marked(rule.init(params))

    def update(grads: Any, state: Any, params: Any = None, **extras: Any) -> Any:
        updates, inner = rule.update(grads, state.inner_state, params, **extras)
        return updates, Marked(inner)

    return transformation(init, update)


def _with_figures(
    rule: optax.GradientTransformationExtraArgs, entry: Entry, kwargs: dict[str, Any]
) -> optax.GradientTransformationExtraArgs:
    """Stores the figures that the entry measures of each update beside the state."""
    fields: dict[str, Any] = {
        "step_size": entry.step_size,
        "num_gradients": entry.num_gradients,
    }
    measures = {name: measure for name, measure in fields.items() if callable(measure)}
    if not measures:
        return rule

    def init(params: Any) -> Recorded:
        return Recorded(rule.init(params), {name: jnp.zeros(()) for name in measures})

    def update(grads: Any, state: Any, params: Any = None, **extras: Any) -> Any:
        updates, inner = rule.update(grads, state.inner_state, params, **extras)
        args = (updates, grads, params, inner)
        seen = {
            name: jnp.asarray(measure(*args, **kwargs), float)
            for name, measure in measures.items()
        }
        return updates, Recorded(inner, seen)

    return transformation(init, update)
