"""Converts text such as `"adamw(b2=0.95)"` to a `Call` and back.

The text is parsed with `ast` and is never evaluated. The grammar allows only calls,
names and literals:

    call    = name | name(value, ..., name=value, ...)
    name    = identifier | package.module:name
    value   = number | string | True | False | None | (value, ...) | [value, ...] | call
"""

import ast
import contextlib
import difflib
import importlib
import math
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from gradjax import own_code
from gradjax.errors import Refusal
from gradjax.types import Call

MAX_CHARACTERS = 1_000
MAX_DEPTH = 20
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_IMPORT_PATH = re.compile(rf"{_QUOTED}|(?P<path>[A-Za-z_][\w.]*:[A-Za-z_]\w*)")
_PLACEHOLDER = "_import_path_"
GIVEN = "given"  # in place of a module, in the path of an object without one
_given: dict[str, Any] = {}  # paths that have a meaning inside of `given`


def parse(text: str) -> Call:
    """Reads an expression such as `chain(clip_by_global_norm(1.0), sgd(momentum=0.9))`.

    An import path `package.module:name` is recognised at any depth; it is not imported
    here.

    Raises:
        Refusal: the text is not a plain call with literals, holds a number that is not
            finite, or is too long.
    """
    if len(text) > MAX_CHARACTERS:
        raise Refusal(f"expression of {len(text)} characters; at most {MAX_CHARACTERS}")
    if _PLACEHOLDER in text:
        raise Refusal(f"{_short(text)}: {_PLACEHOLDER} is a reserved name")
    paths: list[str] = []

    def set_aside(match: re.Match[str]) -> str:
        if match["path"] is None:
            return match[0]
        paths.append(match["path"])
        return f"{_PLACEHOLDER}{len(paths) - 1}"

    source = _IMPORT_PATH.sub(set_aside, text.strip())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the text is refused below, or harmless
            node = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or str(error) or type(error).__name__
        raise Refusal(f"cannot read {_short(text)}: {reason}") from None
    call = _value(node, paths, text, MAX_DEPTH)
    if not isinstance(call, Call):
        raise Refusal(f"{_short(text)} is not a name or a call like adamw(b2=0.95)")
    return call


def unparse(value: Any) -> str:
    """Returns the text that `parse` reads back to the same Call."""
    if isinstance(value, Call):
        parts = [unparse(arg) for arg in value.args]
        parts += [f"{name}={unparse(arg)}" for name, arg in value.kwargs]
        return f"{value.name}({', '.join(parts)})" if parts else value.name
    if isinstance(value, tuple):
        inside = ", ".join(unparse(item) for item in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return repr(value)


def lookup(name: str, registry: dict[str, Any], kind: str) -> Any:
    """Returns the entry of a registry with this name.

    Raises:
        Refusal: the name is not in the registry; the line gives the nearest names.
    """
    if name in registry:
        return registry[name]
    raise Refusal(unknown(name, registry, kind))


def unknown(name: str, known: Iterable[str], kind: str) -> str:
    """Returns the message for an unknown name, with the nearest known names."""
    names = sorted(known)
    if not isinstance(name, str):
        raise Refusal(f"{kind} {name!r}: expected one of {', '.join(names)}")
    near = difflib.get_close_matches(name.lower(), names, n=9, cutoff=0.6)
    near = sorted(near, key=lambda other: sorted(other) != sorted(name.lower()))[:3]
    if near:  # anagrams come first because swapped letters are the usual typing error
        return f"unknown {kind} {name!r}; did you mean {' or '.join(map(repr, near))}?"
    if not names:
        return f"unknown {kind} {name!r}; there is none"
    return f"unknown {kind} {name!r}; one of: {', '.join(names)}"


def load(path: str) -> Any:
    """Imports `package.module:name` and returns the object, without calling it.

    Raises:
        Refusal: there is no such module or name, or the import itself fails.
    """
    if path in _given:
        return _given[path]
    module_name, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except Exception as error:
        raise own_code.refusal(f"cannot import {path!r}", error) from error


@contextlib.contextmanager
def given(objects: dict[str, Any]) -> Iterator[None]:
    """Lets expressions name Python objects that cannot be imported.

    Args:
      objects: path -> object; the path is `given:<name>`.
    """
    _given.update(objects)
    try:
        yield
    finally:
        for path in objects:
            _given.pop(path, None)


def _value(node: ast.expr, paths: list[str], text: str, depth: int) -> Any:
    """Returns the literal, tuple or Call that a syntax node represents."""
    if depth == 0:
        raise Refusal(f"{_short(text)} is nested more than {MAX_DEPTH} deep")
    match node:
        case ast.Name(name):
            return Call(_restore_path(name, paths, text))
        case ast.Call(ast.Name(name), args, keywords):
            names = [str(keyword.arg) for keyword in keywords]
            if "None" in names:
                raise Refusal(f"{_short(text)}: ** is not a literal")
            if len(set(names)) < len(names):
                raise Refusal(f"{_short(text)}: an argument is given twice")
            values = [
                _value(keyword.value, paths, text, depth - 1) for keyword in keywords
            ]
            return Call(
                _restore_path(name, paths, text),
                tuple(_value(arg, paths, text, depth - 1) for arg in args),
                tuple(
                    (_restore_path(name, [], text), value)
                    for name, value in zip(names, values, strict=True)
                ),
            )
        case ast.Tuple(elements) | ast.List(elements):
            return tuple(_value(item, paths, text, depth - 1) for item in elements)
        case ast.UnaryOp(
            ast.USub() | ast.UAdd(), ast.Constant(int() | float() as number)
        ):
            sign = -1 if isinstance(node.op, ast.USub) else 1
            return _number(number, text) * sign
        case ast.Constant(str() as literal):
            return _restore_path(literal, [], text)
        case ast.Constant(bool() | None as literal):
            return literal
        case ast.Constant(int() | float() as number):
            return _number(number, text)
    raise Refusal(
        f"{_short(text)}: {_describe(node)} is not allowed; only names, calls, numbers,"
        " strings, True, False, None, tuples and lists are"
    )


def _number(number: Any, text: str) -> Any:
    if isinstance(number, bool):
        raise Refusal(f"{_short(text)}: a signed {number} is not a number")
    if isinstance(number, float) and not math.isfinite(number):
        raise Refusal(f"{_short(text)}: a number is not finite")
    if isinstance(number, int) and abs(number) > 2**63:
        raise Refusal(f"{_short(text)}: a whole number is beyond 64 bits")
    return number


def _restore_path(name: str, paths: list[str], text: str) -> str:
    """Returns the name, or the import path for which it is a placeholder."""
    if _PLACEHOLDER not in name:
        return name
    index = name.removeprefix(_PLACEHOLDER)
    if index.isdigit() and int(index) < len(paths):
        return paths[int(index)]
    raise Refusal(f"{_short(text)}: an import path stands only where a name may")


def _describe(node: ast.expr) -> str:
    words = " ".join(re.findall(r"[A-Z][a-z]*", type(node).__name__)).lower()
    return f"{'an' if words[:1] in 'aeiou' else 'a'} {words}"


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
