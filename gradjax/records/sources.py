"""Digests of the source files that decide a result: one's own modules, and gradjax.

A module counts if it is named by an expression, or imported by a module that counts,
also inside of a function. Installed packages and the standard library do not count,
because the versions in the record say what they are. gradjax counts as one. Files and
variables that a module reads while it runs are not seen.
"""

import ast
import functools
import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gradjax.own_code import is_inside

_IMPORT_PATH = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_]")
_PACKAGE = Path(__file__).resolve().parents[1]


def digests(modules: Iterable[str]) -> dict[str, str]:
    """Computes the digests of modules, of all that they import, and of gradjax.

    Args:
      modules: names of imported modules; others, and installed ones, are left out.

    Returns:
      File name -> sha256 of its content, in hexadecimal, with 16 digits. The name is
      relative to the folder from which the module is imported; "gradjax" stands for
      all source files of the package.
    """
    found, left = {"gradjax": _of_gradjax()}, [*modules]
    seen = set()
    while left:
        name = left.pop()
        path = None if name in seen else _own_file(name)
        seen.add(name)
        if path is None:
            continue
        content = path.read_bytes()
        found[_file_name(name, path)] = _digest(content)
        left += _imported(content, name, is_package=path.name == "__init__.py")
    return dict(sorted(found.items()))


def named_modules(value: Any) -> set[str]:
    """Finds the modules that expressions name by an import path, `module:name`.

    Args:
      value: dictionaries, lists and tuples, of which every text is searched.
    """
    if isinstance(value, dict):
        return named_modules(list(value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(named_modules, value))
    found = _IMPORT_PATH.findall(value) if isinstance(value, str) else []
    return {name for name in found if name in sys.modules}


def module_of(function: Any) -> str:
    """Returns the name of the module of a function, also of a `functools.partial`."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__module__", None) or type(function).__module__)


@functools.cache
def _of_gradjax() -> str:
    """Returns the digest of the package as it was when this process first asked."""
    total = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        total.update(path.relative_to(_PACKAGE).as_posix().encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _own_file(name: str) -> Path | None:
    """Returns the source file of a module; None for an installed or unknown one."""
    top = name.partition(".")[0]
    if top != name and _is_installed(top):
        return None  # to look for a part of a package imports the package
    module = sys.modules.get(name)
    try:
        spec = importlib.util.find_spec(name) if module is None else None
    except Exception:  # of a package of one's own that cannot be imported
        return None
    origin = str(getattr(module, "__file__", None) if module else spec and spec.origin)
    path = Path(origin).resolve()
    return path if path.suffix == ".py" and not is_inside(path) else None


@functools.cache
def _is_installed(top: str) -> bool:
    """Returns whether a module or package is installed, or is gradjax or built in."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, AttributeError, ValueError):
        return top != "__main__"
    places = spec and (spec.submodule_search_locations or [spec.origin])
    return not places or any(one is None or is_inside(Path(one)) for one in places)


def _file_name(name: str, path: Path) -> str:
    """Returns the name of a file relative to the folder from which it is imported."""
    if name == "__main__":  # as `python -m package.module`, or a script
        spec = getattr(sys.modules[name], "__spec__", None)
        name = spec.name if spec else path.stem
    count = name.count(".") + (2 if path.name == "__init__.py" else 1)
    return "/".join(path.parts[-count:])


def _imported(content: bytes, name: str, is_package: bool) -> Iterator[str]:
    """Yields the names that may be modules in the import statements of a source."""
    package = name if is_package else name.rpartition(".")[0]
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                yield from _prefixes(one.name)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(
                [*(above if node.level else []), *filter(None, [node.module])]
            )
            yield from _prefixes(base)
            yield from (f"{base}.{one.name}" for one in node.names)


def _prefixes(name: str) -> Iterator[str]:
    """Yields a module and the packages that contain it: importing it runs them all."""
    parts = name.split(".")
    yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))
