"""Exact means of metrics over a complete split.

Full batches are scanned, and the remaining examples form one shorter batch of its own
static size in the same program. So every example counts once, and no metric has to
handle padding.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradjax import optimizers
from gradjax.errors import Refusal
from gradjax.own_code import named_errors
from gradjax.problems import splits
from gradjax.problems import state as model_states
from gradjax.types import (
    Batch,
    MetricSums,
    ModelState,
    Params,
    Plan,
    Problem,
    Source,
    TrainState,
)

# Examples in a batch of an evaluation. Measured on 2 CPU cores for the CNN over 5,000
# images: 629 ms with batches of 50, 797 with 100, 1,022 with 500 and 1,165 with 1,000,
# because larger batches do not fit into the cache. The time of the MLP does not depend
# on the batch. Accelerators need large batches; their best size was not measured.
_CPU_BATCH, _BATCH = 100, 1_000


def eval_params(plan: Plan, state: TrainState) -> Params:
    """Returns the parameters to evaluate and to keep.

    For a diverged run they are the parameters before it diverged. Averaged parameters
    are evaluated with the state of the network as it is, which the network collected at
    the parameters that were not averaged.
    """
    if not optimizers.has_eval_params(plan.optimizer):
        return state.params
    own = optimizers.eval_params(plan.optimizer, state.opt_state, state.params)
    return jax.tree.map(lambda a, x: jnp.where(state.alive, a, x), own, state.params)


def metric_shapes(plan: Plan, state: TrainState) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shapes of the metrics of `evaluate`, in the order of their names.

    Args:
      plan: the static part of the run.
      state: a state of training, or its shapes.

    Raises:
        Refusal: the metrics fail on a held-out split whose examples have another type
            or shape than those of training, or give others; or such a leaf has another
            number of axes, with which arrays may broadcast to a wrong result.
    """
    train, *held_out = plan.problem.data or (None,)

    def measured(source: Source | None, state: TrainState) -> dict[str, jax.Array]:
        batch = source and source.take(source.arrays, jnp.zeros(1, jnp.uint32))
        key, own = jax.random.key(0), state.model_state
        return _means(model_states.metrics(plan.problem, state.params, batch, key, own))

    shapes = jax.eval_shape(functools.partial(measured, train), state)
    for name, other in zip(("validation", "test"), held_out, strict=False):
        if train is None or other is None:
            continue
        differing = splits.differences(train, other)
        if not differing:
            continue
        said = f"the {name} split: {differing[0]}"
        if differing[0].is_of_rank:
            raise Refusal(said)
        with named_errors(f"{said}, and the metrics fail"):
            found = jax.eval_shape(functools.partial(measured, other), state)
        if found != shapes:
            raise Refusal(
                f"{said}, and the metrics are {_words(found)}, expected"
                f" {_words(shapes)}"
            )
    return {name: shapes[name] for name in sorted(shapes)}


def _words(shapes: dict[str, jax.ShapeDtypeStruct]) -> str:
    """Returns the names of metrics with their types and shapes."""
    words = [f"{name} {one.dtype}{list(one.shape)}" for name, one in shapes.items()]
    return ", ".join(words)


def evaluate(
    problem: Problem,
    params: Params,
    source: Source | None,
    arrays: Any,
    model_state: ModelState = None,
    split: Callable[[Batch], Batch] = lambda batch: batch,
) -> dict[str, jax.Array]:
    """Computes the problem's metrics over every example of a source.

    Args:
      problem: the problem, whose `metrics` are computed, or else its loss.
      params: a pytree.
      source: the examples; None for a problem without data.
      arrays: the arrays that `source.take` reads.
      model_state: the state of the network, which does not change.
      split: divides a batch over the devices of a mesh.

    Returns:
      Metric name -> the sum divided by the count, f32[], or f64[] where x64 is enabled.
    """
    key = jax.random.key(0)  # the same noise at every evaluation
    if source is None:
        return _means(model_states.metrics(problem, params, None, key, model_state))
    size = _CPU_BATCH if jax.default_backend() == "cpu" else _BATCH
    full, rest = divmod(source.num_examples, size)

    def measured(start: jax.Array, count: int) -> MetricSums:
        indices = start + jnp.arange(count, dtype=jnp.uint32)
        batch = split(source.take(arrays, indices))
        own_key = jax.random.fold_in(key, start)
        return model_states.metrics(problem, params, batch, own_key, model_state)

    totals = []
    if full:
        starts = jnp.arange(full, dtype=jnp.uint32) * jnp.uint32(size)
        _, sums = jax.lax.scan(lambda _, at: (None, measured(at, size)), None, starts)
        totals.append(jax.tree.map(lambda values: values.sum(axis=0), sums))
    if rest:
        totals.append(measured(jnp.uint32(full * size), rest))
    return _means(jax.tree.map(lambda *parts: sum(parts), *totals))


def _means(total: MetricSums) -> dict[str, jax.Array]:
    """Divides sums by counts, in a type that is no narrower than float32.

    Raises:
        Refusal: a metric is no pair of numbers.
    """
    for name, pair in total.items():
        is_list = isinstance(pair, tuple | list)
        if (len(pair) if is_list else jnp.size(pair)) != 2:
            raise Refusal(
                f"the metric {name!r} is no pair; expected (sum, count) over the"
                " examples of the batch"
            )
        for what, part in zip(("sum", "count"), pair, strict=True):
            if jnp.ndim(part):
                raise Refusal(
                    f"the {what} of the metric {name!r} has the shape"
                    f" {list(jnp.shape(part))}; expected one number"
                )
    means = {name: summed / count for name, (summed, count) in total.items()}
    return {
        name: jnp.asarray(mean, jnp.promote_types(jnp.result_type(mean), jnp.float32))
        for name, mean in means.items()
    }
