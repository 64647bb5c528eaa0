"""Digests of the Python objects that decide a result: functions, data and numbers.

A function counts by its compiled code, its defaults, what it has captured, and the
global names that it uses. A function of an installed package counts by its name and by
what it has captured, because the versions in the record say what it does. Arrays count
by their values. Files and variables that a function reads while it runs do not count.
"""

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import os
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax import own_code
from gradjax.errors import Refusal

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), np.dtype)
_ARRAYS = (np.ndarray, np.generic, jax.Array)
_CONTAINERS = (list, tuple, set, frozenset, Mapping)
_HOLDERS = (property, staticmethod, classmethod, functools.partialmethod)


class Digest(NamedTuple):
    """What an object depends on."""

    code: str  # 16 hex digits of the functions and classes
    values: str  # 16 hex digits of the arrays, numbers and texts
    modules: frozenset[str]  # of the user, to which functions belong


class _Walk(NamedTuple):
    """The hashes of one object, and what has been seen."""

    code: Any
    values: Any
    modules: set[str]
    seen: dict[int, tuple[int, Any]]  # id -> (number, object), which keeps the id


def digest(value: Any, where: str) -> Digest:
    """Computes the digest of an object, with all that it holds.

    Args:
      value: a function, a pytree of arrays, a NamedTuple of functions, ...
      where: the name of the object, for a message.

    Raises:
        Refusal: it holds something whose content cannot be read, such as a generator of
            random numbers; the line says where.
    """
    walk = _Walk(hashlib.sha256(), hashlib.sha256(), set(), {})
    try:
        _add(walk, value, where)
    except RecursionError:
        raise Refusal(f"{where} is nested too deep to be compared") from None
    found = walk.code.hexdigest()[:16], walk.values.hexdigest()[:16]
    return Digest(*found, frozenset(walk.modules))


def _add(walk: _Walk, value: Any, where: str) -> None:
    """Adds one object to the hashes."""
    if isinstance(value, _PLAIN):
        return _put(walk.values, type(value).__name__, repr(value))
    if isinstance(value, _ARRAYS):
        return _add_array(walk, value, where)
    if not isinstance(value, _CONTAINERS):
        if id(value) in walk.seen:
            return _put(walk.values, "again", str(walk.seen[id(value)][0]))
        walk.seen[id(value)] = (len(walk.seen), value)
    if isinstance(value, types.ModuleType):
        walk.modules.add(value.__name__)
        return _put(walk.code, "module", value.__name__)
    if isinstance(value, types.FunctionType):
        return _add_function(walk, value, where)
    if isinstance(value, type):
        return _add_class(walk, value, where)
    return _add_parts(walk, value, where)


def _add_parts(walk: _Walk, value: Any, where: str) -> None:
    """Adds the parts of an object that is neither plain nor a function."""
    _put(walk.code, _name(type(value)))
    for name, part in _parts(value, where):
        _put(walk.values, name)
        _add(walk, part, f"{where}{name}")


def _parts(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Yields (name, part) of a container, of a partial function or of an object."""
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", one) for key, one in value.items())
    elif isinstance(value, list | tuple):
        names = getattr(value, "_fields", None)
        names = [f".{n}" for n in names] if names else map("[{}]".format, range(10**9))
        yield from zip(names, value, strict=False)
    elif isinstance(value, set | frozenset):
        yield "", tuple(sorted(map(repr, value)))
    elif isinstance(value, functools.partial):
        yield from zip(("", "", ""), (value.func, value.args, value.keywords))  # noqa: B905
    elif isinstance(value, types.MethodType):
        yield from (("", value.__func__), (".__self__", value.__self__))
    elif isinstance(value, _HOLDERS):
        yield "", getattr(value, "fget", None) or getattr(value, "__func__", None)
    elif isinstance(value, os.PathLike):
        yield "", os.fspath(value)
    elif hasattr(value, "__wrapped__"):  # a function inside of jax.jit and others
        yield "", value.__wrapped__
        rules = ("jvp", "fwd", "bwd")  # of jax.custom_jvp and jax.custom_vjp
        yield from ((f".{name}", getattr(value, name, None)) for name in rules)
    elif _is_named(value):
        yield "", _name(value)
    elif dataclasses.is_dataclass(value):  # a module of flax or Equinox, too
        yield ".__class__", type(value)
        names = [field.name for field in dataclasses.fields(value)]
        yield from ((f".{name}", getattr(value, name, None)) for name in names)
    elif hasattr(value, "__dict__") and type(value).__module__ not in ("_io", "io"):
        yield ".__class__", type(value)
        yield from ((f".{name}", one) for name, one in vars(value).items())
    else:
        raise Refusal(
            f"{where} is a {type(value).__name__}, whose content cannot be compared"
            " with that of another call; make it inside of the function, or leave"
            " --workdir out"
        )


def _add_function(walk: _Walk, function: Any, where: str) -> None:
    """Adds the code of a function, or its name if it is installed, and its captures."""
    code = function.__code__
    is_own = not own_code.is_inside(Path(code.co_filename))
    if is_own:
        walk.modules.add(function.__module__)
        _add_code(walk, code)
    else:
        _put(walk.code, _name(function))
    _add(walk, [function.__defaults__, function.__kwdefaults__], f"{where}: defaults")
    cells = function.__closure__ or ()
    for name, cell in zip(code.co_freevars, cells, strict=True):
        if _has_value(cell):
            _add(walk, cell.cell_contents, f"{where}: {name}")
    if not is_own:
        return
    _add(walk, dict(vars(function)), where)
    for name in sorted(_names(code) & function.__globals__.keys()):
        _add_global(walk, function, name, where)


def _has_value(cell: Any) -> bool:
    """Returns whether a captured name has a value already."""
    with contextlib.suppress(ValueError):
        _ = cell.cell_contents
        return True
    return False


def _add_global(walk: _Walk, function: Any, name: str, where: str) -> None:
    """Adds a global that a function uses.

    If it cannot be read, as a logger, the source of its module stands for it, which the
    record holds as well; a script or a notebook has no such source.
    """
    try:
        _add(walk, function.__globals__[name], f"{where}: {name}")
    except Refusal:
        if function.__module__ == "__main__":
            raise
        _put(walk.code, name)


def _add_class(walk: _Walk, value: Any, where: str) -> None:
    """Adds the functions and values of a class of the user, or the name of another."""
    _put(walk.code, _name(value))
    try:
        path = inspect.getfile(value)
    except (TypeError, OSError):  # built in, or of a notebook
        path = ""
    is_own = value.__module__ == "__main__" or (path and not _is_installed(path))
    if not is_own:
        return
    walk.modules.add(value.__module__)
    for name, part in vars(value).items():
        if not name.startswith("__") or isinstance(part, types.FunctionType):
            _add(walk, part, f"{where}.{name}")


def _add_code(walk: _Walk, code: types.CodeType) -> None:
    _put(walk.code, code.co_code.hex(), *code.co_names, *code.co_varnames)
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            _add_code(walk, one)
        else:
            is_set = isinstance(one, frozenset)
            _put(walk.code, repr(sorted(map(repr, one)) if is_set else one))


def _add_array(walk: _Walk, value: Any, where: str) -> None:
    if isinstance(value, jax.Array) and jnp.issubdtype(
        value.dtype, jax.dtypes.prng_key
    ):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise Refusal(f"{where} is an array of Python objects; give numbers")
    _put(walk.values, str(array.dtype), str(array.shape))
    walk.values.update(np.ascontiguousarray(array).tobytes())


def _names(code: types.CodeType) -> set[str]:
    """Returns the names of globals and attributes in a code and those inside of it."""
    inside = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return set(code.co_names).union(*map(_names, inside))


def _is_named(value: Any) -> bool:
    """Returns whether a function without Python code is one of an installed package."""
    is_function = callable(value) and hasattr(value, "__name__")
    return is_function and not getattr(value, "__closure__", None)


@functools.lru_cache(maxsize=10_000)
def _is_installed(path: str) -> bool:
    return own_code.is_inside(Path(path))


def _name(value: Any) -> str:
    name = getattr(value, "__qualname__", getattr(value, "__name__", ""))
    return f"{getattr(value, '__module__', '')}.{name}"


def _put(total: Any, *texts: str) -> None:
    for text in texts:
        content = text.encode(errors="surrogatepass")
        total.update(len(content).to_bytes(8, "little"))
        total.update(content)
