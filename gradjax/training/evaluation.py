"""Exact means over a whole split.

Full batches are scanned, and the remaining examples form one shorter batch of its own
static size in the same program. So every example counts once, and no metric has to
handle padding.
"""

from typing import Any

import jax
import jax.numpy as jnp

from gradjax import optimizers
from gradjax.types import (
    Batch,
    Key,
    MetricSums,
    Params,
    Plan,
    Problem,
    Source,
    TrainState,
)

# Examples in a batch. Measured on 2 CPU cores, CNN over 5,000 images, in ms: batches
# of 50 629, 100 797, 500 1,022, 1,000 1,165, because larger ones leave the cache. The
# time of the MLP does not depend on it. Accelerators need large batches; not measured.
_CPU_BATCH, _BATCH = 100, 1_000


def eval_params(plan: Plan, state: TrainState) -> Params:
    """The parameters to evaluate and to keep.

    For a diverged run they are the parameters before it diverged.
    """
    if not optimizers.has_eval_params(plan.optimizer):
        return state.params
    own = optimizers.eval_params(plan.optimizer, state.opt_state, state.params)
    return jax.tree.map(lambda a, x: jnp.where(state.alive, a, x), own, state.params)


def metric_shapes(plan: Plan, state: TrainState) -> dict[str, jax.ShapeDtypeStruct]:
    """What `evaluate` returns, as shapes; metrics in the order of their names."""
    source = getattr(plan.problem.data, "train", None)

    def measured(params: Params) -> dict[str, jax.Array]:
        batch = source and source.take(source.arrays, jnp.zeros(1, jnp.uint32))
        return _means(_metrics(plan.problem, params, batch, jax.random.key(0)))

    shapes = jax.eval_shape(measured, state.params)
    return {name: shapes[name] for name in sorted(shapes)}


def evaluate(
    problem: Problem, params: Params, source: Source | None, arrays: Any
) -> dict[str, jax.Array]:
    """Computes the problem's metrics over every example of a source.

    Args:
      problem: its `metrics` are computed; without them, its loss.
      params: a pytree.
      source: the examples; None for a problem without data.
      arrays: what `source.take` reads.

    Returns:
      Metric name -> the sum divided by the count, f32[], or f64[] where x64 is enabled.
    """
    key = jax.random.key(0)  # the same noise at every evaluation
    if source is None:
        return _means(_metrics(problem, params, None, key))
    size = _CPU_BATCH if jax.default_backend() == "cpu" else _BATCH
    full, rest = divmod(source.num_examples, size)

    def measured(start: jax.Array, count: int) -> MetricSums:
        indices = start + jnp.arange(count, dtype=jnp.uint32)
        batch = source.take(arrays, indices)
        return _metrics(problem, params, batch, jax.random.fold_in(key, start))

    totals = []
    if full:
        starts = jnp.arange(full, dtype=jnp.uint32) * jnp.uint32(size)
        _, sums = jax.lax.scan(lambda _, at: (None, measured(at, size)), None, starts)
        totals.append(jax.tree.map(lambda values: values.sum(axis=0), sums))
    if rest:
        totals.append(measured(jnp.uint32(full * size), rest))
    return _means(jax.tree.map(lambda *parts: sum(parts), *totals))


def _means(total: MetricSums) -> dict[str, jax.Array]:
    """Sums divided by counts, in a type no narrower than float32."""
    means = {name: summed / count for name, (summed, count) in total.items()}
    return {
        name: jnp.asarray(mean, jnp.promote_types(jnp.result_type(mean), jnp.float32))
        for name, mean in means.items()
    }


def _metrics(problem: Problem, params: Params, batch: Batch, key: Key) -> MetricSums:
    if problem.metrics is not None:
        return problem.metrics(params, batch, key)
    count = jnp.float32(1 if batch is None else jax.tree.leaves(batch)[0].shape[0])
    return {"loss": (problem.loss(params, batch, key)[0] * count, count)}
