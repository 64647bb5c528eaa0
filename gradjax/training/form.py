"""The form of a state: structure, shapes and types, which a step must not change."""

from typing import Any

import jax
import jax.numpy as jnp

from gradjax.errors import Refusal
from gradjax.types import Params, Plan


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


def check_update(updates: Any, state: Any, opt_state: Any, params: Params) -> None:
    """Refuses what an optimizer's update has returned, if its form is another one.

    Args:
      updates: what the update has returned.
      state: likewise, the state after the step.
      opt_state: the state before the step.
      params: the parameters.

    Raises:
        Refusal: the updates do not have the structure and the shapes of the parameters,
            or the state does not have the structure that it had before.
    """
    for what, kept, given, by in (
        ("updates have", "the parameters have", updates, params),
        ("state has", "init gave it", state, opt_state),
    ):
        found, expected = jax.tree.structure(given), jax.tree.structure(by)
        if found != expected:
            raise Refusal(
                f"the optimizer's {what} the structure {_short(found)} after a step;"
                f" {kept} {_short(expected)}, which must be kept"
            )
    for found, expected in zip(*map(jax.tree.leaves, (updates, params)), strict=True):
        if not _fits(jnp.shape(found), jnp.shape(expected)):
            raise Refusal(
                f"the optimizer's updates have the shape {list(jnp.shape(found))} where"
                f" the parameters have {list(jnp.shape(expected))}, which must be kept"
            )


def _short(structure: Any) -> str:
    text = " ".join(str(structure).removeprefix("PyTreeDef").split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _fits(update: tuple[int, ...], param: tuple[int, ...]) -> bool:
    """Returns whether an update can be added without changing a parameter's shape."""
    if len(update) > len(param):
        return False
    ends = zip(reversed(update), reversed(param), strict=False)
    return all(one in (1, size) for one, size in ends)
