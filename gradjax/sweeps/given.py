"""Expressions for optimizers and schedules that are given as Python objects.

A bundled one has its name. A function of a module of the user has its import path. Any
other object, such as a function of a notebook, has the name `given:<name>`, which means
the object while `expressions.given` holds it.
"""

import functools
import re
import sys
from typing import Any

from gradjax import expressions, optimizers, schedules
from gradjax.errors import Refusal
from gradjax.types import Call, Diagnostic

Objects = dict[str, Any]  # `given:<name>` -> object


def optimizer(thing: Any, objects: Objects) -> str:
    """Returns the expression of an optimizer.

    Args:
      thing: as `gradjax.program` takes it.
      objects: gets the optimizer, if it has neither a name nor an import path.

    Raises:
        Refusal: it is no optimizer.
    """
    if isinstance(thing, str):
        return expressions.unparse(expressions.parse(thing))
    if isinstance(thing, Call):
        return expressions.unparse(thing)
    if not callable(thing) and not optimizers.is_finished(thing):
        raise Refusal(f"optimizer {thing!r}: expected an expression or a function")
    known = {**optimizers.OPTIMIZERS, **optimizers.WRAPPERS}
    made = {name: entry.make for name, entry in known.items()}
    return _text(thing, made, objects)


def schedule(thing: Any, objects: Objects) -> str:
    """Returns the expression of a schedule; see `optimizer`."""
    if callable(thing) and not isinstance(thing, Call):
        return _text(thing, schedules.SCHEDULES, objects)
    return expressions.unparse(schedules.as_call(thing))


def diagnostics(things: Any, objects: Objects) -> str | None:
    """Returns the expression of a list of diagnostics; None for None."""
    if things is None or isinstance(things, str):
        return things
    is_list = isinstance(things, list | tuple) and not isinstance(things, Diagnostic)
    texts = []
    for one in things if is_list else [things]:
        function = one.measure if isinstance(one, Diagnostic) else one
        if isinstance(one, str):
            texts.append(one)
        elif callable(function):
            is_plain = function is one
            texts.append(
                _text(one, {}, objects) if is_plain else _given(one, function, objects)
            )
        else:
            raise Refusal(f"diagnostic {one!r}: expected an expression or a function")
    return f"[{', '.join(texts)}]"


def _text(thing: Any, known: dict[str, Any], objects: Objects) -> str:
    is_partial = isinstance(thing, functools.partial)
    function = thing.func if is_partial else thing
    names = [name for name, one in known.items() if one is function]
    names += [path] if (path := _import_path(function)) else []
    if names:
        kwargs = tuple(thing.keywords.items()) if is_partial else ()
        call = Call(names[0], thing.args if is_partial else (), kwargs)
        if _is_text(call):
            return expressions.unparse(call)
    return _given(thing, function, objects)


def _is_text(call: Call) -> bool:
    """Returns whether all arguments of a call can be written."""
    try:
        return expressions.parse(expressions.unparse(call)) == call
    except Refusal:
        return False


def _import_path(function: Any) -> str | None:
    """Returns the path of a function that a module holds; None without one.

    A script or a notebook, `__main__`, is another module in another process.
    """
    module = str(getattr(function, "__module__", "__main__"))
    name = str(getattr(function, "__qualname__", ""))
    found = getattr(sys.modules.get(module), name, None)
    return f"{module}:{name}" if found is function and module != "__main__" else None


def _given(thing: Any, function: Any, objects: Objects) -> str:
    name = str(getattr(function, "__name__", type(function).__name__))
    name = re.sub(r"\W", "", name) or "function"
    count, path = 1, f"{expressions.GIVEN}:{name}"
    while path in objects and objects[path] is not thing:
        count += 1
        path = f"{expressions.GIVEN}_{count}:{name}"
    objects[path] = thing
    return path
