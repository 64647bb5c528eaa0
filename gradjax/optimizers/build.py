"""From an OptimizerSpec and numbers to a transformation, and what a spec asks for.

`build` puts the numbers in inside the traced step, in every step, from that step's
values. A sweep over any number therefore compiles once. (`optax.inject_hyperparams`
breaks adafactor, lbfgs, adopt and galore and changes Adam's numerics; schedules as
callables are refused by optimistic_adam, rprop and sm3. Building in the step does
neither.)
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradjax.optimizers.transformation import transformation
from gradjax.types import Entry, Hparams, Key, OptimizerSpec, TracedNumber


class Recorded(NamedTuple):
    """A rule's state, and what its last update says of itself."""

    inner_state: Any
    figures: dict[str, jax.Array]  # step_size, num_gradients: f32[] each


def build(
    optimizer: OptimizerSpec, numbers: Hparams, key: Key | None = None
) -> optax.GradientTransformationExtraArgs:
    """The transformation with `numbers` in its place; called inside the trace.

    Args:
      optimizer: what is static.
      numbers: what is traced, f32[] each, by path.
      key: of the optimizer's own randomness. Only `init` needs it: the state carries
        what follows from it.

    Returns:
      A transformation whose update takes every extra there is, and hands each rule in
      it those that its entry needs.
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
            return build(value, numbers, own_key(value))
        return tuple(map(filled, value)) if isinstance(value, tuple) else value

    entry = optimizer.entry
    kwargs = {name: filled(value) for name, value in optimizer.kwargs}
    given = {**kwargs, entry.key: _key(key)} if entry.key else kwargs
    made = _exact(entry.make(*map(filled, optimizer.args), **given), entry)
    made = _with_plain_keys(made) if entry.key else made
    return _recorded(made, entry, kwargs)


def nodes(optimizer: OptimizerSpec) -> Iterator[OptimizerSpec]:
    """The spec and every spec inside it."""
    yield optimizer
    for child in children(optimizer):
        yield from nodes(child)


def children(optimizer: OptimizerSpec) -> list[OptimizerSpec]:
    """The specs that it holds."""
    values = (*optimizer.args, *(value for _, value in optimizer.kwargs))
    return [value for value in values if isinstance(value, OptimizerSpec)]


def needs(optimizer: OptimizerSpec) -> frozenset[str]:
    """The extra arguments that its rules take."""
    return frozenset(name for node in nodes(optimizer) for name in node.entry.needs)


def gradient(optimizer: OptimizerSpec) -> str:
    """What the outermost rule takes: the gradient of a batch, or of each example."""
    if optimizer.entry.gradient == "inner":
        return gradient(children(optimizer)[0])
    return optimizer.entry.gradient


def num_gradients(optimizer: OptimizerSpec) -> int:
    """Gradients spent by one step, apart from what `figures` counts as it goes."""
    counts = [node.entry.num_gradients for node in nodes(optimizer)]
    return 1 + sum(count - 1 for count in counts if isinstance(count, int))


def figures(optimizer: OptimizerSpec, opt_state: Any) -> dict[str, jax.Array]:
    """What rules say of the step just taken, wherever they stand in the state.

    Returns:
      `step_size` f32[], of the outermost rule that has its own, and `num_gradients`
      f32[], where it varies from step to step.
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
    """Whether it is evaluated at other parameters than it steps from."""
    return any(node.entry.eval_params is not None for node in nodes(optimizer))


def eval_params(optimizer: OptimizerSpec, opt_state: Any, params: Any) -> Any:
    """The parameters to evaluate: averaged ones, where the optimizer keeps them."""
    for node in nodes(optimizer):
        if node.entry.eval_params is not None:
            return node.entry.eval_params(opt_state, params)
    return params


def find_state(kind: Any, opt_state: Any) -> Any:
    """The outermost state of that type, or of one of those types, where it stands."""

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


def _exact(made: Any, entry: Entry) -> optax.GradientTransformationExtraArgs:
    """Takes any extras and passes on those it needs: a surplus one makes lbfgs raise.

    A wrapper passes on all of them: who needs what is for what it holds to say.
    """
    if entry.inner:
        return optax.with_extra_args_support(made)

    def update(updates: Any, state: Any, params: Any = None, **extras: Any) -> Any:
        needed = {name: extras[name] for name in entry.needs}
        return made.update(updates, state, params, **needed)

    return transformation(made.init, update)


def _with_plain_keys(made: Any) -> optax.GradientTransformationExtraArgs:
    """Keeps random keys as their numbers, so that a state is plain arrays."""

    def is_key(leaf: Any) -> bool:
        return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)

    def plain(state: Any) -> Any:
        return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, state)

    def init(params: Any) -> Any:
        return plain(made.init(params))

    def update(updates: Any, state: Any, params: Any = None, **extras: Any) -> Any:
        typed = jax.eval_shape(made.init, params)
        state = jax.tree.map(
            lambda kind, x: jax.random.wrap_key_data(x) if is_key(kind) else x,
            typed,
            state,
        )
        updates, state = made.update(updates, state, params, **extras)
        return updates, plain(state)

    return transformation(init, update)


def _recorded(
    made: optax.GradientTransformationExtraArgs, entry: Entry, kwargs: dict[str, Any]
) -> optax.GradientTransformationExtraArgs:
    """Keeps what the entry can say of each update beside the rule's state."""
    found: dict[str, Any] = {
        "step_size": entry.step_size,
        "num_gradients": entry.num_gradients,
    }
    measures = {name: measure for name, measure in found.items() if callable(measure)}
    if not measures:
        return made

    def init(params: Any) -> Recorded:
        return Recorded(
            made.init(params), {name: jnp.float32(0.0) for name in measures}
        )

    def update(grads: Any, state: Any, params: Any = None, **extras: Any) -> Any:
        updates, inner = made.update(grads, state.inner_state, params, **extras)
        args = (updates, grads, params, inner)
        seen = {
            name: jnp.asarray(measure(*args, **kwargs), jnp.float32)
            for name, measure in measures.items()
        }
        return updates, Recorded(inner, seen)

    return transformation(init, update)
