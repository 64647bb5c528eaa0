"""The operations of a function, with the values of their operands and results.

A network calls relu, tanh and softmax as plain functions, between its modules, so their
values are not the output of any module. They are read from the operations instead,
which works for networks of any library.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend import core

_CALLS = (  # operations that call a function once, whose jaxpr is a parameter
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "custom_jvp_call",
    "custom_vjp_call",
    "custom_vjp_call_jaxpr",
    "checkpoint",
    "remat",
    "remat2",
)


class Operation(NamedTuple):
    """One operation of a function.

    Attributes:
      name: of the primitive, such as "tanh".
      params: its static parameters.
      operands: arrays, and numbers that are constants of the program. An operand is the
        same Python object as the result of the operation that made it.
      results: arrays.
    """

    name: str
    params: dict[str, Any]
    operands: Sequence[Any]
    results: Sequence[Any]


def operations(function: Callable[..., Any], *args: Any) -> list[Operation]:
    """Evaluates a function and returns its operations in their order.

    Functions that are called once, such as a nested `jit`, are entered. The body of a
    loop, such as the `scan` of a recurrent layer, is one operation. Inside `jax.jit`
    only those values are computed that are used later; outside, all values are kept.

    Args:
      function: a function of arrays.
      args: pytrees of arrays.
    """
    closed = jax.make_jaxpr(function)(*args)
    found: list[Operation] = []
    _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(args), found)
    return found


def _evaluate(
    jaxpr: Any, consts: Sequence[Any], args: Sequence[Any], found: list[Operation]
) -> list[Any]:
    values: dict[Any, Any] = {}
    values.update(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))

    def read(x: Any) -> Any:
        return x.val if isinstance(x, core.Literal) else values[x]

    for eqn in jaxpr.eqns:
        operands = [read(x) for x in eqn.invars]
        inner = _inner(eqn)
        if inner is None:
            results = _results(eqn, operands)
            found.append(Operation(eqn.primitive.name, eqn.params, operands, results))
        else:
            results = _evaluate(*inner, operands, found)
        values.update(zip(eqn.outvars, results, strict=True))
    return [read(x) for x in jaxpr.outvars]


def _results(eqn: Any, operands: Sequence[Any]) -> Sequence[Any]:
    given = eqn.primitive.get_bind_params(eqn.params)
    # Some versions of JAX return a pair here, whose first part are more operands.
    more, params = given if isinstance(given, tuple) else ((), given)
    found = eqn.primitive.bind(*more, *operands, **params)
    return found if eqn.primitive.multiple_results else [found]


def _inner(eqn: Any) -> tuple[Any, Sequence[Any]] | None:
    """Returns the jaxpr that an operation calls once, and its constants."""
    if eqn.primitive.name not in _CALLS:
        return None
    found = (eqn.params.get(name) for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"))
    jaxpr = next((x for x in found if x is not None), None)
    if jaxpr is None:
        return None
    return (jaxpr.jaxpr, jaxpr.consts) if hasattr(jaxpr, "consts") else (jaxpr, ())


def following(
    operations: Sequence[Operation], start: str, name_of: Callable[[str], str | None]
) -> Iterator[tuple[str, Operation]]:
    """Yields each operation with the named array that came last before it.

    Args:
      operations: in their order.
      start: the name before the first named array.
      name_of: the name of an array, from that of a `checkpoint_name`; None: it counts
        as any other operation.
    """
    last = start
    for one in operations:
        name = name_of(one.params["name"]) if one.name == "name" else None
        last = last if name is None else name
        yield last, one
