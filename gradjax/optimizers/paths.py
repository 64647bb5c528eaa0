"""Finds and writes an argument of an optimizer by its path, at any depth.

The path of an argument is that of its number in `split`: `optimizer.b2`,
`optimizer.sgd.momentum` inside of a chain, `optimizer.betas.0` of a tuple. It exists
whether the argument is written out or has its default.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.optimizers import arguments, bounds, own
from gradjax.optimizers.split import Registry, find, opened, split
from gradjax.types import Call, Entry

Find = Callable[[str], Entry]  # the entry of a name inside of an optimizer
_EMPTY = inspect.Parameter.empty


class Slot(NamedTuple):
    """The place of an argument: a call that has it, and its value there."""

    call: Call
    entry: Entry
    name: str
    value: Any  # as given, or its default


def place(optimizer: Any, path: str, registry: Registry) -> Any | None:
    """Returns the optimizer with a traced number at a path, written out or not.

    Args:
      optimizer: an expression or a function, as `split` takes it.
      path: such as `optimizer.b2`, or `optimizer.sgd.momentum` inside of a chain.
      registry: the known names.

    Returns:
      The optimizer, in which `split` finds the number; None if the argument is static:
      it changes the program and cannot be traced.

    Raises:
        Refusal: the optimizer has no such argument, or its numbers are fixed.
    """
    _refuse_finished(optimizer, path)
    if path in split(optimizer, registry)[1]:
        return optimizer
    found: list[Slot] = []
    _change(*_opened(optimizer, path, registry), lambda slot: found.append(slot))
    if not _is_traced(found[0], path):
        return None
    return write(optimizer, path, _placeholder(path), registry)


def write(optimizer: Any, path: str, value: Any, registry: Registry) -> Any:
    """Returns the optimizer with a value of the argument of a path.

    Args and Raises: see `place`.
    """
    _refuse_finished(optimizer, path)
    changed = _change(*_opened(optimizer, path, registry), lambda _: value)
    if isinstance(optimizer, str):
        return expressions.unparse(changed)
    if not callable(optimizer):
        return changed
    is_partial = isinstance(optimizer, functools.partial)
    function = optimizer.func if is_partial else optimizer
    return functools.partial(function, *changed.args, **dict(changed.kwargs))


def _opened(
    optimizer: Any, path: str, registry: Registry
) -> tuple[Call, Entry, list[str], Find]:
    """Returns the call, its entry, the parts of the path, and the lookup inside."""
    inside = functools.partial(find, registry=registry, is_inside=True)
    return *opened(optimizer, registry), path.split(".")[1:], inside


def _is_traced(slot: Slot, path: str) -> bool:
    if slot.name in slot.entry.static:
        return False
    default = arguments.settable(slot.entry)[slot.name].default
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    return is_number or default is None or default is _EMPTY or path[-1].isdigit()


def _placeholder(path: str) -> float:
    """Returns a number that is legal for the argument; each trial has its own."""
    name = [part for part in path.split(".") if not part.isdigit()][-1]
    return max(0.5, bounds.BOUNDS.get(name, bounds.Bound(0.0)).low)


def _refuse_finished(optimizer: Any, path: str) -> None:
    """Refuses a transformation, whose numbers are fixed."""
    if own.is_finished(optimizer):
        raise Refusal(
            f"{path}: a finished transformation has fixed numbers; give the function"
            " that makes it, such as optax.adamw, or an expression"
        )


def _change(
    call: Call,
    entry: Entry,
    parts: list[str],
    lookup: Find,
    change: Callable[[Slot], Any],
) -> Call:
    """Returns the call with a changed argument, which `parts` name."""
    args, kwargs = arguments.bind(call, entry)
    name, *rest = parts
    inside = arguments.children(args, kwargs, entry)
    for key, segment in inside.items():
        if segment == name and rest:
            child = args[key] if isinstance(key, int) else kwargs[key]
            new = _change(child, lookup(child.name), rest, lookup, change)
            return _replaced(call, args, kwargs, key, new)
    parameters = arguments.settable(entry)
    variadic = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    names = [n for n, p in parameters.items() if p.kind not in variadic]
    if name not in names or name in entry.inner:
        known = [n for n in names if n not in entry.inner]
        known += [f"{segment}.<argument>" for segment in inside.values()]
        raise Refusal(f"{call.name}: {expressions.unknown(name, known, 'argument')}")
    default = parameters[name].default
    old = kwargs.get(name, None if default is _EMPTY else default)
    value = change(Slot(call, entry, name, old)) if not rest else None
    if rest:
        value = _changed_item(call, entry, name, old, rest, change)
    return _replaced(call, args, kwargs, name, value)


def _changed_item(
    call: Call,
    entry: Entry,
    name: str,
    old: Any,
    rest: list[str],
    change: Callable[[Slot], Any],
) -> Any:
    """Returns a tuple, or the schedule of an argument, with one other value."""
    where = f"{call.name}: {'.'.join([name, *rest])}"
    if isinstance(old, Call) and len(rest) == 1:
        value = change(Slot(call, entry, name, dict(old.kwargs).get(rest[0])))
        others = [pair for pair in old.kwargs if pair[0] != rest[0]]
        return old._replace(kwargs=(*others, (rest[0], value)))
    index = int(rest[0]) if rest[0].isdigit() else -1
    if isinstance(old, Call) or not isinstance(old, tuple) or len(rest) > 1:
        raise Refusal(f"{where}: {name} is {expressions.unparse(old)}, without parts")
    if not 0 <= index < len(old):
        raise Refusal(f"{where}: {name} has the parts 0 to {len(old) - 1}")
    value = change(Slot(call, entry, name, old[index]))
    return (*old[:index], value, *old[index + 1 :])


def _replaced(
    call: Call, args: tuple[Any, ...], kwargs: dict[str, Any], key: Any, value: Any
) -> Call:
    """Returns the call with one other argument; the order of the others stays."""
    if isinstance(key, int):
        return Call(call.name, (*args[:key], value, *args[key + 1 :]), _pairs(kwargs))
    if not call.args:
        kwargs = dict(call.kwargs)
    return Call(call.name, args if call.args else (), _pairs({**kwargs, key: value}))


def _pairs(kwargs: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(kwargs.items())
