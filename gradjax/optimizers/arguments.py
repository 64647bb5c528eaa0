"""Checks of the arguments of a call against the signature of its factory.

Without these checks, a bad argument fails in the trace with an error of many lines.
"""

import inspect
from collections import Counter
from typing import Any

import numpy as np

from gradjax import expressions
from gradjax.counts import as_whole
from gradjax.errors import Refusal
from gradjax.optimizers import own
from gradjax.types import Call, Entry

_KINDS = (bool, int, float, str)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def bind(call: Call, entry: Entry) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Binds the arguments of a call to the signature of its factory.

    Returns:
      The positional arguments, which only a chain has, and the named arguments.

    Raises:
        Refusal: an argument is unknown or missing, or a value is not an optimizer where
            an optimizer is required.
    """
    parameters = settable(entry)
    signature = inspect.Signature(list(parameters.values()))
    valid = ", ".join(name for name in parameters if name not in ("args", "kwargs"))
    try:
        bound = signature.bind_partial(*call.args, **dict(call.kwargs))
    except TypeError as error:
        is_key = entry.key is not None and entry.key in dict(call.kwargs)
        reason = f"{entry.key} follows from the seed of the run" if is_key else error
        valid = valid or "none"
        raise Refusal(f"{call.name}: {reason}; its arguments: {valid}") from None
    given = dict(bound.arguments)
    positional = given.pop("args", ())
    given |= given.pop("kwargs", {})
    _check_missing(call, entry, parameters, given)
    _check_inner(call, entry, positional, given)
    return positional, given


def settable(entry: Entry) -> dict[str, inspect.Parameter]:
    """Returns the parameters that an expression may set: all except the random key.

    The learning rate is excluded for a rule without one, such as a line search.
    """
    parameters = inspect.signature(entry.make).parameters
    hidden = {entry.key} | ({"learning_rate"} if entry.rate is None else set())
    return {name: p for name, p in parameters.items() if name not in hidden}


def is_number(entry: Entry, name: str) -> bool:
    """Returns whether a name is an argument of a rule that may be a traced number."""
    parameter = settable(entry).get(name)
    default = None if parameter is None else parameter.default
    is_real = isinstance(default, int | float) and not isinstance(default, bool)
    return is_real and name not in entry.static


def children(
    args: tuple[Any, ...], kwargs: dict[str, Any], entry: Entry
) -> dict[int | str, str]:
    """Returns the names of the optimizers inside of a call, for their paths.

    Args:
      args: the positional arguments, which only a chain has.
      kwargs: the named arguments.
      entry: the entry of the call.

    Returns:
      Index or name of the argument -> the name of the optimizer there, numbered if the
      name occurs twice. The name of an import path is what follows the colon.
    """
    values = {**dict(enumerate(args)), **kwargs}
    inner = {
        key: value.name.rpartition(":")[2]
        for key, value in values.items()
        if isinstance(value, Call) and ("*" in entry.inner or key in entry.inner)
    }
    return dict(zip(inner, numbered(list(inner.values())), strict=True))


def numbered(names: list[str]) -> list[str]:
    """Returns the names, with _1, _2, ... after those that occur more than once."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(f"{name}_{seen[name]}" if names.count(name) > 1 else name)
    return found


def takes_text(entry: Entry, name: str) -> bool:
    """Returns whether the default or the annotation of an argument is a text."""
    parameter = inspect.signature(entry.make).parameters.get(name)
    default = None if parameter is None else parameter.default
    return isinstance(default, str) or own.kind(entry.make, name) is str


def check_kind(value: Any, entry: Entry, name: str, where: str) -> None:
    """Refuses a value whose type does not match that of the parameter's default.

    Raises:
        Refusal: the types do not match. The message begins with `where`.
    """
    parameter = inspect.signature(entry.make).parameters.get(name)
    default = None if parameter is None else parameter.default
    if entry.rate and name == entry.rate[0]:
        default = entry.rate[1]
    annotation = own.kind(entry.make, name)
    kind = annotation if annotation in _KINDS else type(default)
    is_number = isinstance(value, int | float | np.number) and type(value) is not bool
    if name in entry.static and kind is not float:
        is_known = kind in _KINDS or entry.is_own
        _check_static(value, kind if is_known else int, default, where)
    elif kind is bool:
        if is_number or isinstance(value, str):
            raise Refusal(f"{where}={value!r}: expected True or False")
    elif kind in (int, float):
        if not is_number and (value is not None or default is not None):
            raise Refusal(f"{where}={value!r}: expected a number")
    elif isinstance(default, str | tuple) and (is_number or isinstance(value, bool)):
        expected = type(default).__name__.replace("str", "string")
        raise Refusal(f"{where}={value!r}: expected a {expected} such as {default!r}")


def _check_static(value: Any, kind: type, default: Any, where: str) -> None:
    """Refuses a value of a static argument that is not of its kind."""
    if value is None and default is None:
        return
    may_be_negative = type(default) is int and default < 0
    number = as_whole(value)
    is_negative = number is not None and number < 0 and not may_be_negative
    if kind is bool and type(value) is not bool:
        raise Refusal(f"{where}={value!r}: expected True or False")
    if kind is str and not isinstance(value, str):
        raise Refusal(f"{where}={value!r}: expected a string")
    if (kind is int and number is None) or is_negative:
        raise Refusal(f"{where}={value!r}: expected a whole number, not negative")


def _check_missing(
    call: Call,
    entry: Entry,
    parameters: dict[str, inspect.Parameter],
    given: dict[str, Any],
) -> None:
    known = {*given, entry.rate[0]} if entry.rate else set(given)
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in _VARIADIC
        and name not in known
    ]
    if missing:
        example = ", ".join(
            "adam" if name in entry.inner else f"{name}=..." for name in missing
        )
        raise Refusal(f"{call.name} needs {', '.join(missing)}: {call.name}({example})")


def _check_inner(
    call: Call, entry: Entry, positional: tuple[Any, ...], given: dict[str, Any]
) -> None:
    """Refuses a value that is not an optimizer where an optimizer is required."""
    if "*" in entry.inner and not positional and not given:
        raise Refusal(f"{call.name} is empty: {call.name}(adam)")
    held = [*positional, *(given[name] for name in entry.inner if name in given)]
    for value in held if entry.inner else ():
        if not isinstance(value, Call):
            shown = (
                expressions.unparse(value) if isinstance(value, tuple) else repr(value)
            )
            raise Refusal(f"{call.name}: {shown} is not an optimizer; expected a name")
