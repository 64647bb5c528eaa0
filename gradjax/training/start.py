"""Starts the trials of a program at given parameters, such as those of another run."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.errors import Refusal
from gradjax.training.leaf_names import path_name
from gradjax.types import ModelState, Params, Program

_SHOWN = 5  # differing leaves that are listed; the others are only counted


def started_at(
    program: Program, params: Params, model_state: ModelState = None
) -> Program:
    """Returns a program whose trials start at these parameters, whatever their seed.

    The compiled program of the steps stays the same, because parameters are arguments.
    The state of the optimizer is new.

    Args:
      program: from `gradjax.program`.
      params: a pytree with the leaves of the problem's parameters; numbers are
        converted to their types.
      model_state: the state of the network, likewise; None: that of the problem.

    Raises:
        Refusal: leaves differ in their name or shape; the line lists them.
    """
    init = functools.partial(program.init, dict(program.hparams))
    shapes = jax.eval_shape(init, jax.ShapeDtypeStruct((), jnp.uint32))
    params = _fitted("params", params, shapes.params)
    if model_state is not None:
        model_state = _fitted("model_state", model_state, shapes.model_state)
    return program._replace(start=(params, model_state))


def started_if_given(
    program: Program, params: Params, model_state: ModelState
) -> Program:
    """Returns the program as it is if both are None, and else `started_at` of them.

    Raises:
        Refusal: what `started_at` refuses, or a state without parameters.
    """
    if params is not None:
        return started_at(program, params, model_state)
    if model_state is not None:
        raise Refusal("model_state without params: give both")
    return program


def _fitted(what: str, given: Any, expected: Any) -> Any:
    """Returns the given leaves in the structure and the types of the expected ones."""
    found, wanted = named(given), named(expected)
    shown = [
        f"{name} is {_shape(found, name)}, expected {_shape(wanted, name)}"
        for name in dict.fromkeys([*wanted, *found])
        if _shape(found, name) != _shape(wanted, name)
    ]
    if shown:
        more = len(shown) - _SHOWN
        listed = shown[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])
        raise Refusal(f"the leaves of {what} differ: {'; '.join(listed)}")
    leaves = [np.asarray(found[name]).astype(x.dtype) for name, x in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(expected), leaves)


def named(tree: Any) -> dict[str, Any]:
    """Returns the leaves of a tree by name.

    Nested dictionaries from a record have the names of the tree that was stored, which
    may hold lists and NamedTuples.
    """
    return {path_name(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)}


def _shape(leaves: dict[str, Any], name: str) -> str:
    return str(list(np.shape(leaves[name]))) if name in leaves else "absent"
