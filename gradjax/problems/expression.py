"""Makes a Problem from an expression such as `"quadratic(condition=1e3)"`."""

import inspect
from collections.abc import Callable
from typing import Any

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.own_code import named_errors
from gradjax.types import Call, Problem


def make(
    expression: str | Call, registry: dict[str, Callable[..., Problem]]
) -> Problem:
    """Makes the problem that an expression names.

    Args:
      expression: a name, a call with literal arguments, or an import path
        `package.module:name` to a Problem or to a function that makes one.
      registry: name -> function that makes a problem; its arguments have defaults.

    Raises:
        Refusal: the name or an argument is unknown, the problem refuses a value, or the
            function that makes it raises an exception.
    """
    call = expressions.parse(expression) if isinstance(expression, str) else expression
    factory = _find(call.name, registry)
    arguments = _bind(call, factory)
    with named_errors(f"problem {call.name} fails"):
        made = factory(*arguments.args, **arguments.kwargs)
    if not isinstance(made, Problem):
        raise Refusal(f"{call.name} gives a {type(made).__name__}, not a Problem")
    return made


def _find(name: str, registry: dict[str, Callable[..., Problem]]) -> Callable[..., Any]:
    if ":" not in name:
        return expressions.lookup(name, registry, "problem")
    found = expressions.load(name)
    if isinstance(found, Problem):
        return lambda: found
    if not callable(found):
        raise Refusal(f"{name!r} is neither a Problem nor a function that makes one")
    return found


def _bind(call: Call, factory: Callable[..., Any]) -> inspect.BoundArguments:
    """Binds the arguments of the call to the signature of the factory."""
    for value in (*call.args, *(value for _, value in call.kwargs)):
        if isinstance(value, Call):
            text = expressions.unparse(value)
            raise Refusal(
                f"{call.name}: {text} is not a number; a string needs quotes: {text!r}"
            )
    signature = inspect.signature(factory)
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        for name, _ in call.kwargs:
            if name not in signature.parameters:
                kind = f"argument of {call.name}:"
                raise Refusal(expressions.unknown(name, signature.parameters, kind))
    try:
        return signature.bind(*call.args, **dict(call.kwargs))
    except TypeError as error:
        valid = ", ".join(signature.parameters) or "none"
        raise Refusal(f"problem {call.name}: {error}; its arguments: {valid}") from None
