"""Exact means over a whole split.

Full batches are scanned, and what is left over is one shorter batch of its own static
size in the same program: every example counts once, and no metric needs to know of
padding. Metrics stay on the device until the host asks for them.
"""

from typing import Any

import jax
import jax.numpy as jnp

from gradjax.types import Batch, Key, Measures, Params, Problem, Source

# Images a batch. Larger ones leave the cache; measured on 2 CPU cores, see docs.
BATCH = 500


def evaluate(
    problem: Problem, params: Params, source: Source, arrays: Any
) -> dict[str, jax.Array]:
    """The problem's metrics over every example of a source.

    Args:
      problem: whose metrics; without any, its loss.
      params: a pytree.
      source: how many examples, and how to take them.
      arrays: what `source.take` reads.

    Returns:
      Metric name -> f32[], each sum divided by its count.
    """
    full, rest = divmod(source.num_examples, BATCH)
    key = jax.random.key(0)  # of evaluation: the same noise at every evaluation

    def measured(start: jax.Array, size: int) -> Measures:
        indices = start + jnp.arange(size, dtype=jnp.uint32)
        batch = source.take(arrays, indices)
        return _metrics(problem, params, batch, jax.random.fold_in(key, start))

    totals = []
    if full:
        starts = jnp.arange(full, dtype=jnp.uint32) * jnp.uint32(BATCH)
        _, sums = jax.lax.scan(lambda _, at: (None, measured(at, BATCH)), None, starts)
        totals.append(jax.tree.map(lambda values: values.sum(axis=0), sums))
    if rest:
        totals.append(measured(jnp.uint32(full * BATCH), rest))
    total = jax.tree.map(lambda *parts: sum(parts), *totals)
    return {name: summed / count for name, (summed, count) in total.items()}


def _metrics(problem: Problem, params: Params, batch: Batch, key: Key) -> Measures:
    if problem.metrics is not None:
        return problem.metrics(params, batch, key)
    count = jnp.float32(jax.tree.leaves(batch)[0].shape[0])
    return {"loss": (problem.loss(params, batch, key)[0] * count, count)}
