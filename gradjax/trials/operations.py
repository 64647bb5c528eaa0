"""The operations that a compiled function computes, counted in its jaxpr.

A compiler computes equal operations once, computes nothing that is not used, and
computes elementwise operations together with the operation that takes their result. So
does this count: functions that are called once are entered, equal operations are one,
and a value is stored in memory only where an operation that is not elementwise makes
or takes it.
"""

import weakref
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core

# Operations that call a function once, whose jaxpr is a parameter. What is under
# `checkpoint` is computed again, apart from equal operations outside.
_CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call"}
_CALLS |= {"custom_vjp_call", "custom_vjp_call_jaxpr"}
_AGAIN = {"checkpoint", "remat", "remat2"}
LOOPS = {"scan", "while", "cond"}
_BARRIERS = {"optimization_barrier"}
# jaxpr -> its operations, as long as somebody else holds the jaxpr
_read_before: weakref.WeakKeyDictionary[Any, "Operations"]
_read_before = weakref.WeakKeyDictionary()


class Operation(NamedTuple):
    """One operation.

    Attributes:
      name: of the primitive, such as "tanh".
      params: its static parameters.
      operands: numbers of the values that it takes.
      results: numbers of the values that it makes.
    """

    name: str
    params: dict[str, Any]
    operands: tuple[int, ...]
    results: tuple[int, ...]


class Operations(NamedTuple):
    """The operations of a function, in an order in which they can be computed.

    Attributes:
      listed: the operations.
      shapes: of each value, by its number.
      inputs: the numbers of the arguments.
      outputs: the numbers of the results.
    """

    listed: tuple[Operation, ...]
    shapes: tuple[Any, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class _Found(NamedTuple):
    """What was read so far; the lists and the dictionary grow."""

    listed: list[Operation]
    shapes: list[Any]
    known: dict[Any, tuple[int, ...]]  # what an operation is -> its results


def operations(jaxpr: Any) -> Operations:
    """Reads the operations of a jaxpr whose results are used.

    Args:
      jaxpr: of `jax.make_jaxpr(...)`, or the jaxpr in a parameter of a loop. It is read
        once, however often it is asked for.
    """
    jaxpr = _open(jaxpr)
    if jaxpr not in _read_before:
        _read_before[jaxpr] = _operations(jaxpr)
    return _read_before[jaxpr]


def _operations(jaxpr: Any) -> Operations:
    found = _Found([], [], {})
    given = [*jaxpr.constvars, *jaxpr.invars]
    inputs = tuple(_new(found, one.aval) for one in given)
    outputs = _read(jaxpr, inputs, found, 0)
    needed, kept = set(outputs), []
    for one in reversed(found.listed):
        if needed & set(one.results):
            needed |= set(one.operands)
            kept.append(one)
    return Operations(tuple(reversed(kept)), tuple(found.shapes), inputs, outputs)


def size_bytes(shape: Any) -> int:
    """Returns the bytes of a value; a key of random numbers has 8."""
    if jax.numpy.issubdtype(shape.dtype, jax.dtypes.prng_key):
        return 8 * shape.size
    return shape.size * np.dtype(shape.dtype).itemsize


def inner(one: Operation) -> Iterator[Any]:
    """Yields the jaxprs of a loop, or of the branches of a condition."""
    for value in one.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if hasattr(item, "eqns") or hasattr(item, "jaxpr"):
                yield item


def _open(jaxpr: Any) -> Any:
    return getattr(jaxpr, "jaxpr", jaxpr)


def _new(found: _Found, shape: Any) -> int:
    found.shapes.append(shape)
    return len(found.shapes) - 1


def _read(
    jaxpr: Any, given: Sequence[int], found: _Found, place: int
) -> tuple[int, ...]:
    """Reads a jaxpr whose arguments have these numbers; returns those of its results.

    Operations are equal only in the same place: one that is computed again is not.
    """
    numbers = dict(zip([*jaxpr.constvars, *jaxpr.invars], given, strict=True))

    def number(atom: Any) -> int:
        if not isinstance(atom, core.Literal):
            return numbers[atom]
        key = ("literal", str(atom.val), str(atom.aval))
        if key not in found.known:
            found.known[key] = (_new(found, atom.aval),)
        return found.known[key][0]

    for equation in jaxpr.eqns:
        operands = tuple(map(number, equation.invars))
        results = _results(equation, operands, found, place)
        numbers.update(zip(equation.outvars, results, strict=True))
    return tuple(map(number, jaxpr.outvars))


def _results(
    equation: Any, operands: tuple[int, ...], found: _Found, place: int
) -> tuple[int, ...]:
    name, params = equation.primitive.name, equation.params
    if name in _BARRIERS:
        return operands
    if name in _CALLS or name in _AGAIN:
        names = ("jaxpr", "call_jaxpr", "fun_jaxpr")
        called = next(params[one] for one in names if one in params)
        consts = tuple(_constant(x, found) for x in getattr(called, "consts", ()))
        inside = len(found.listed) + 1 if name in _AGAIN else place
        return _read(_open(called), (*consts, *operands), found, inside)
    said = len(found.listed) if name in LOOPS else _text(params)
    key = (place, name, operands, said)
    if key not in found.known:
        results = tuple(_new(found, one.aval) for one in equation.outvars)
        found.listed.append(Operation(name, params, operands, results))
        found.known[key] = results
    return found.known[key]


def _constant(value: Any, found: _Found) -> int:
    key = ("constant", id(value))
    if key not in found.known:
        found.known[key] = (_new(found, jax.typeof(value)),)
    return found.known[key][0]


def _text(params: dict[str, Any]) -> str:
    """Returns the parameters of an operation as a text that can be compared."""
    return str(sorted(params.items(), key=lambda item: item[0])) if params else ""
