"""The values of one diagnostic at one step: what it takes, and what it returns."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.data import streaming
from gradjax.data.order import order
from gradjax.diagnostics import context as contexts
from gradjax.diagnostics.context import Context
from gradjax.errors import Refusal
from gradjax.own_code import named_errors
from gradjax.problems import state as model_states
from gradjax.schedules import shapes
from gradjax.training import step as steps
from gradjax.types import (
    Batch,
    Diagnostic,
    Hparams,
    Key,
    Params,
    Plan,
    ScheduleSpec,
    Source,
    TrainState,
)

KEY = 0x64696167  # "diag"; it is folded into a key to get that of the diagnostics
_SUBSET_SEED = 0  # fixed, because a subset is the same in all trials
_CHUNK = 500  # examples of which a loss is computed at once, to bound the memory


def context(
    plan: Plan,
    states: tuple[TrainState, TrainState],
    grads: Params,
    inputs: tuple[Batch, Hparams, Key],
    i: jax.Array,
) -> Context:
    """Returns the parts of a step that diagnostics may measure.

    Args:
      plan: the static part of the run.
      states: before and after the step.
      grads: the gradient of the step.
      inputs: of the step, as `loop.inputs` gives them.
      i: u32[], the number of the step.
    """
    (before, after), (batch, hparams, key) = states, inputs
    hparams = steps.at(plan, hparams, i, before.num_gradients)
    as_given = _without_schedules(plan)

    def loss(params: Params, batch: Batch) -> jax.Array:
        own = before.model_state
        return model_states.loss(plan.problem, params, batch, key, own)[0]

    def take_step(params: Params, opt_state: Any, hparams: Hparams) -> Any:
        state = before._replace(params=params, opt_state=opt_state)
        found, _ = steps.step(as_given, state, batch, hparams, key, i)
        return found.params, found.opt_state

    rates = plan.optimizer.rates
    rate = hparams[rates[0]] if rates else jnp.nan
    return Context(
        loss=loss,
        params=before.params,
        batch=batch,
        grads=grads,
        updates=jax.tree.map(jnp.subtract, after.params, before.params),
        params_after=after.params,
        opt_state=before.opt_state,
        opt_state_after=after.opt_state,
        hparams=hparams,
        learning_rate=jnp.asarray(rate, float),
        key=jax.random.fold_in(key, KEY),
        step=i,
        take_step=take_step,
        apply=_network(plan, before.model_state),
        problem=plan.problem,
        plan=plan,
        model_state=before.model_state,
    )


def _without_schedules(plan: Plan) -> Plan:
    """Returns the plan of a step with hyperparameters that are used as they are."""
    return plan._replace(
        optimizer=plan.optimizer._replace(scheduled=()),
        schedule=ScheduleSpec(shapes.constant),
    )


def _network(plan: Plan, state: Any) -> Any:
    """Returns the network as (params, batch) -> outputs; None if there is none."""
    apply = plan.problem.apply
    if apply is None or plan.problem.init_state is None:
        return apply
    return lambda params, batch: apply(params, batch, None, state)[0]


def measure(
    plan: Plan, k: int, whole: Context, arrays: dict[str, Any], memory: Any
) -> tuple[dict[str, jax.Array], Any]:
    """Computes diagnostic `k`: ({curve: f32[]}, memory)."""
    one = plan.diagnostics[k]
    own = whole._replace(key=jax.random.fold_in(whole.key, k))
    with named_errors(f"diagnostic {one.name} fails"):
        if one.per_example:
            _check_examples(plan)
        if one.on != "batch":
            batch, loss = _examples(plan, one, arrays), partial(_chunked, whole.loss)
            grads = jax.grad(loss)(own.params, batch)  # not computed if it is not taken
            own = own._replace(batch=batch, loss=loss, grads=grads)
        known = {**contexts.values_of(own, memory), **dict(one.options)}
        found = contexts.bound(one.measure, known)
        if one.init is not None:
            found, new = _pair(found)
            memory = _checked_memory(memory, new)
        return _curves(one, found), memory


def _check_examples(plan: Plan) -> None:
    """Refuses the gradients of single examples where there are none."""
    if plan.problem.data is None:
        raise Refusal("it takes single examples, and this problem has no data")
    if plan.problem.init_state is not None:
        raise Refusal(
            "it takes gradients of single examples, which this network does not have,"
            " because its state depends on the complete batch"
        )


def _examples(plan: Plan, one: Diagnostic, arrays: dict[str, Any]) -> Batch:
    """Returns the examples of a diagnostic that are not those of the step."""
    data = plan.problem.data
    if data is None:
        raise Refusal(f"on={one.on!r}: this problem has no data")
    split = "train" if isinstance(one.on, int) else one.on
    source = getattr(data, split)
    if source is None:
        raise Refusal(f"on={one.on!r}: this problem has no such split")
    if isinstance(one.on, int):
        if one.on > source.num_examples:
            there = f"there are {source.num_examples:,} training examples"
            raise Refusal(f"on={one.on}: {there}")
        if source.read is not None:
            return arrays[_name(one.on)]
        return source.take(arrays[split], jnp.asarray(_subset(source, one.on)))
    if source.read is not None:
        raise Refusal(
            f"on={one.on!r}: the {split} split is streamed; expected on='batch',"
            " 'validation', or a number of training examples"
        )
    indices = np.arange(source.num_examples, dtype=np.uint32)
    return source.take(arrays[split], jnp.asarray(indices, jnp.uint32))


def subsets(plan: Plan) -> dict[str, Batch]:
    """Returns the training examples on which diagnostics of a streamed run measure.

    They are read once, and are an argument of the program beside the splits.
    """
    data = plan.problem.data
    if data is None or data.train.read is None:
        return {}
    source = data.train
    counts = {d.on for d in plan.diagnostics if isinstance(d.on, int)}
    fitting = sorted(count for count in counts if count <= source.num_examples)
    return {
        _name(count): streaming.examples(source, _subset(source, count))
        for count in fitting
    }


def _subset(source: Source, count: int) -> np.ndarray:
    """Returns the indices of a fixed subset of the training examples: u32[count]."""
    indices = np.arange(count, dtype=np.uint32)
    return order(_SUBSET_SEED, 0, indices, source.num_examples)


def _name(count: int) -> str:
    return f"train:{count}"


def _chunked(loss: contexts.Loss, params: Params, batch: Batch) -> jax.Array:
    """Computes the mean loss of many examples, some at a time, to bound the memory."""
    leaves = jax.tree.leaves(batch)
    size = leaves[0].shape[0] if leaves else 0
    if size <= _CHUNK:
        return loss(params, batch)
    full, rest = divmod(size, _CHUNK)
    first = jax.tree.map(
        lambda x: x[: full * _CHUNK].reshape(full, _CHUNK, *x.shape[1:]), batch
    )
    one = jax.checkpoint(loss)
    _, parts = jax.lax.scan(lambda _, x: (None, one(params, x)), None, first)
    total = parts.sum() * _CHUNK
    if rest:
        last = jax.tree.map(lambda x: x[full * _CHUNK :], batch)
        total = total + loss(params, last) * rest
    return total / size


def _pair(found: Any) -> tuple[Any, Any]:
    if isinstance(found, tuple) and len(found) == 2:
        return found
    raise Refusal("it has a memory, so it must return (values, memory)")


def _checked_memory(before: Any, after: Any) -> Any:
    """Returns a memory in the types that it had before.

    Raises:
        Refusal: its structure or a shape has changed.
    """
    old, new = jax.tree.structure(before), jax.tree.structure(after)
    is_kept = old == new and all(
        jnp.shape(x) == jnp.shape(y)
        for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    )
    if not is_kept:
        raise Refusal("its memory changes its structure or its shapes in one step")
    return jax.tree.map(lambda x, y: jnp.asarray(y, x.dtype), before, after)


def _curves(one: Diagnostic, found: Any) -> dict[str, jax.Array]:
    """Returns the values of a diagnostic by the names of their curves: f32[] each."""
    curves = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(found):
        keys = [jax.tree_util.keystr((key,), simple=True) for key in path]
        name = f"{one.name}.{'/'.join(keys)}" if any(keys) else one.name
        values = jnp.asarray(leaf)
        if values.ndim > 1:
            raise Refusal(
                f"{name} has the type {values.dtype} and the shape"
                f" {list(values.shape)}; expected numbers with at most one axis"
            )
        values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
        new = {name: values}
        if values.ndim == 1:
            new = {f"{name}.{k}": values[k] for k in range(values.shape[0])}
        if both := curves.keys() & new.keys():
            raise Refusal(f"it has two curves {min(both)!r}")
        curves |= new
    if not curves:
        raise Refusal("it returns no number")
    return curves
