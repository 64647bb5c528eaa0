"""Gradient accumulation: the gradient of a batch as the mean over equal parts of it.

The parts are computed one after the other, so the values between the layers take the
memory of one part. The step is one step with the complete batch. The optimizer makes
one update with the mean gradient, and the schedule counts one step. (The wrapper
`multi_steps` makes one update from several steps, each with a batch of its own.)

Where the loss is a mean over the examples, the curve is that of the complete batch, up
to rounding. Three things are of a part: a mean over something else than examples, as
over the tokens of texts of different lengths; the statistics of BatchNorm, whose
running means are updated part after part; and the key of dropout.
"""

from typing import Any

import jax
import jax.numpy as jnp

from gradjax import optimizers
from gradjax.errors import Refusal
from gradjax.training import mesh
from gradjax.types import Batch, Key, ModelState, Params, Plan

# Extra arguments with which an optimizer evaluates the loss of the batch again.
_LOSSES = ("value_fn", "obj_fn", "grad_fn", "value_and_grad_fn")


def check(plan: Plan) -> None:
    """Refuses a batch that cannot be divided, or an optimizer that needs all of it.

    Raises:
        Refusal: the problem has no data; the number of parts does not divide the batch,
            or a part is not divided by the devices of the mesh; the optimizer takes the
            gradient of each example, or evaluates the loss of the batch again.
    """
    count = plan.accumulate
    if count == 1:
        return
    said = f"accumulate={count}"
    if plan.batch_size is None:
        raise Refusal(f"{said}: this problem has no data, so there is no batch")
    if plan.batch_size % count:
        raise Refusal(
            f"{said}: does not divide a batch of {plan.batch_size} examples into equal"
            " parts"
        )
    part = plan.batch_size // count
    if plan.mesh is not None and part % mesh.size(plan.mesh):
        raise Refusal(
            f"{said}: the {mesh.size(plan.mesh)} devices of mesh="
            f"{mesh.text_of(plan.mesh)} do not divide a part of {part} examples"
        )
    if optimizers.gradient(plan.optimizer) == "per_example":
        raise Refusal(f"{said}: the optimizer takes the gradient of each example")
    again = sorted(optimizers.needs(plan.optimizer) & set(_LOSSES))
    if again:
        raise Refusal(
            f"{said}: the optimizer evaluates the loss of the complete batch again"
            f" ({', '.join(again)})"
        )


def value_and_grad(
    plan: Plan,
    loss: Any,
    params: Params,
    batch: tuple[Batch, Key],
    model_state: ModelState,
) -> Any:
    """Computes a loss and its gradient as means over the parts of a batch.

    Args:
      plan: the static part of the run.
      loss: (params, batch, key, model state) -> (f32[], (auxiliary values, new state)).
      params: a pytree.
      batch: the batch, with leaves [batch, ...], and the key of the step.
      model_state: of the network; the state after a part is that before the next one.

    Returns:
      ((loss, (auxiliary values, state after the last part)), gradients), as of
      `jax.value_and_grad` with auxiliary values.
    """
    count, (examples, key) = plan.accumulate, batch
    # Part k has the examples k, k + count, ..., so that each device of a mesh has its
    # own examples of every part, and none are moved.
    parts = jax.tree.map(lambda leaf: _parts(leaf, count), examples)
    computed = jax.value_and_grad(loss, has_aux=True)

    def take(state: ModelState, k: Any, part: Batch) -> Any:
        part = mesh.split_batch(plan.mesh, part)
        found, grads = computed(params, part, jax.random.fold_in(key, k), state)
        value, (aux, state) = found
        return (value, aux, grads), state

    def add(carry: Any, given: Any) -> Any:
        sums, state = carry
        found, state = take(state, *given)
        sums = jax.tree.map(lambda total, x: total + x.astype(total.dtype), sums, found)
        return (sums, state), None

    first = jax.tree.map(lambda leaf: leaf[0], parts)
    shapes, _ = jax.eval_shape(take, model_state, jnp.uint32(0), first)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, _wide(x)), shapes)
    turns = jnp.arange(count, dtype=jnp.uint32), parts
    (sums, model_state), _ = jax.lax.scan(add, (zeros, model_state), turns)
    value, aux, grads = jax.tree.map(lambda total: total / count, sums)
    grads = jax.tree.map(lambda g, p: g.astype(p.dtype), grads, params)
    return (value.astype(shapes[0].dtype), (aux, model_state)), grads


def _parts(leaf: jax.Array, count: int) -> jax.Array:
    """Returns leaves [count, batch / count, ...] of a leaf [batch, ...]."""
    strided = leaf.reshape(leaf.shape[0] // count, count, *leaf.shape[1:])
    return jnp.swapaxes(strided, 0, 1)


def _wide(leaf: Any) -> Any:
    """Returns the type in which values are summed: at least float32."""
    return jnp.promote_types(leaf.dtype, jnp.float32)
