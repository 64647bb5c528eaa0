"""The form of a state: its shapes and types, which a step must not change."""

import jax
import jax.numpy as jnp

from gradjax.errors import Refusal
from gradjax.types import Plan


def where(plan: Plan) -> str:
    """Returns "on parameters of bfloat16 and float32"; "" if all are float32."""
    params = jax.eval_shape(plan.problem.init, jax.random.key(0))
    kinds = sorted({jnp.result_type(leaf).name for leaf in jax.tree.leaves(params)})
    return "" if kinds == ["float32"] else f"on parameters of {' and '.join(kinds)}"


def check_leaf(
    where: str, before: jax.ShapeDtypeStruct, after: jax.ShapeDtypeStruct
) -> None:
    """Refuses a leaf of a state that changes its shape or its type in one step.

    Numbers have weak types here, as Python's floats have. So a rule whose types change
    here also changes them when it is built by hand.
    """
    if (before.shape, before.dtype) != (after.shape, after.dtype):
        there = f" {where}, also with Python's floats as its numbers;" if where else ","
        raise Refusal(
            f"the optimizer's state changes from {before.dtype}{list(before.shape)} to"
            f" {after.dtype}{list(after.shape)} in one step{there} so steps cannot be"
            " scanned"
        )
