"""Checks a problem of the user by its shapes, before anything is compiled."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.data import streaming
from gradjax.errors import Refusal
from gradjax.own_code import named_errors
from gradjax.problems import keys
from gradjax.problems import state as states
from gradjax.problems.calling import arity
from gradjax.types import Batch, Key, ModelState, Params, Problem

_RESERVED = ("loss", "learning_rate", "step_size", "num_gradients", "tolerated")
_RESERVED_STARTS = ("validation_", "optimizer.")


def check(problem: Problem, batch_size: int | None) -> None:
    """Refuses parameters that are not floats, and a loss that is not (f[], aux).

    With a state the loss is (f[], aux, state), and the state keeps its types.

    Args:
      problem: the problem; its `init` and `loss` are traced once, on shapes.
      batch_size: examples per step; None: the problem has no data.

    Raises:
        Refusal: the parameters or the loss have another type, and the line gives it;
            an exception of `init` or `loss`, with its place in the user's files; or
            what `streaming.check_splits` refuses.
    """
    streaming.check_splits(problem.data)
    key = jax.random.key(0)
    with named_errors("the problem's init fails"):
        params = jax.eval_shape(functools.partial(_initial, problem), key)
    for path, leaf in jax.tree.leaves_with_path(params):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            name = f"params{jax.tree_util.keystr(path)}"
            raise Refusal(f"{name} is {leaf.dtype}: only floats can be trained")
    _check_arguments(problem)
    with named_errors("the initial state of the network fails"):
        state = jax.eval_shape(lambda key: states.init(problem, key), key)
    given = () if problem.init_state is None else (state,)
    batch = _batch(problem, batch_size)
    with named_errors("the loss fails"):
        loss = functools.partial(_named_aux, problem.loss)
        found = jax.eval_shape(loss, params, batch, key, *given)
    is_right = isinstance(found, tuple) and len(found) == 2 + len(given)
    if not is_right or not isinstance(found[1], dict) or not _is_scalar(found[0]):
        form = "(loss f32[], aux, new state)" if given else "(loss f32[], aux)"
        raise Refusal(
            f"the loss gives {_describe(found)}: expected {form}, aux a dictionary of"
            " scalars, {} for none"
        )
    if given:
        _check_state(problem, state, found[2])
    for name, value in found[1].items():
        if name in _RESERVED or name.startswith(_RESERVED_STARTS):
            raise Refusal(f"the loss's aux[{name!r}]: this name is reserved")
        if not _is_number(value):
            raise Refusal(
                f"the loss's aux[{name!r}] is {_describe(value)}: expected one number,"
                " such as f32[]"
            )


def _named_aux(loss: Callable[..., Any], *arguments: Any) -> Any:
    """Calls the loss, and refuses what is no array among its aux by its name.

    Raises:
        Refusal: text, a function or another object of Python; or a name is no text.
    """
    found = keys.call("the loss", loss, *arguments)
    parts = found[1:2] if isinstance(found, tuple) else ()
    aux = parts[0] if parts and isinstance(parts[0], dict) else {}
    keys.check_texts("the loss's aux", aux)
    for name, value in aux.items():
        if not isinstance(value, int | float | np.generic | np.ndarray | jax.Array):
            raise Refusal(
                f"the loss's aux[{name!r}] is {_describe(value)}: expected one number,"
                " such as f32[]"
            )
    return found


def _initial(problem: Problem, key: Key) -> Params:
    """Returns the initial parameters; refuses leaves that are no numbers by name."""
    params = problem.init(key)
    for path, leaf in jax.tree.leaves_with_path(params):
        _check_number(f"params{jax.tree_util.keystr(path)}", leaf)
    if not jax.tree.leaves(params):
        raise Refusal("params without a leaf: there is nothing to train")
    return jax.tree.map(jnp.asarray, params)


def _check_number(name: str, leaf: Any) -> None:
    is_array = isinstance(leaf, jax.Array | np.ndarray | np.generic)
    if is_array or isinstance(leaf, int | float | complex):
        return
    is_named = hasattr(leaf, "__name__")
    said = f"the function {leaf.__name__}" if is_named else f"{leaf!r:.60}"
    raise Refusal(f"{name} is {said}: expected an array or a number")


def _check_arguments(problem: Problem) -> None:
    has_state = problem.init_state is not None
    count, last = (4, ", state") if has_state else (3, "")
    needed, most = arity(problem.loss, count)
    if needed > count or most < count:
        raise Refusal(
            f"the loss is called with (params, batch, key{last}), and takes"
            f" {needed if needed > count else most} arguments"
        )


def _check_state(problem: Problem, before: ModelState, after: ModelState) -> None:
    """Refuses a state that changes its form in a step, or that has no metrics."""
    old, new = (_shapes(state) for state in (before, after))
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            raise Refusal(
                f"the state of the network: {name} is {old.get(name, 'absent')} before"
                f" a step and {new.get(name, 'absent')} after it; expected the same"
            )
    if problem.metrics is None:
        raise Refusal(
            "a problem with a state needs metrics, because its loss is that of"
            " training, in which a network such as BatchNorm normalises by the batch"
        )


def _shapes(state: ModelState) -> dict[str, str]:
    """Returns the name of each leaf -> its type and shape."""
    leaves = jax.tree.leaves_with_path(state)
    return {f"state{jax.tree_util.keystr(k)}": _describe(x) for k, x in leaves}


def _batch(problem: Problem, batch_size: int | None) -> Batch:
    if problem.data is None or batch_size is None:
        return None
    indices = jax.ShapeDtypeStruct((batch_size,), jnp.uint32)
    source = problem.data.train
    return jax.eval_shape(source.take, source.arrays, indices)


def _is_scalar(value: Any) -> bool:
    is_array = hasattr(value, "shape") and hasattr(value, "dtype")
    return is_array and value.shape == () and jnp.issubdtype(value.dtype, jnp.floating)


def _is_number(value: Any) -> bool:
    is_array = hasattr(value, "shape") and hasattr(value, "dtype")
    if not is_array or value.shape != ():
        return False
    kinds = (jnp.floating, jnp.integer, jnp.bool_)
    return any(jnp.issubdtype(value.dtype, kind) for kind in kinds)


def _describe(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_describe, value))})"
    return type(value).__name__
