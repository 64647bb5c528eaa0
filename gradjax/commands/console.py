"""The command `gradjax`: experiments and scripts by their names.

`gradjax mnist --seeds=3` is `python -m experiments.mnist --seeds=3`, also in a folder
that has a package `experiments` of its own: the files are found beside the package
gradjax, and not by their names. `gradjax list optimizers` is `python -m scripts.list
optimizers`. `gradjax` alone lists all names.
"""

import ast
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import NoReturn

_ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("experiments", "scripts")
_REFUSED = 2


def main() -> NoReturn:
    """Runs the experiment or the script that the first argument names, and exits."""
    name, *flags = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h", "help"):
        from gradjax.report import terminal

        terminal.say("\n".join(listing()))
        sys.exit(0)
    path = files().get(name)
    if path is None:
        from gradjax import expressions

        line = expressions.unknown(name, files(), "command")
        print(f"gradjax: {line} (`gradjax` alone lists them)", file=sys.stderr)
        sys.exit(_REFUSED)
    # As for python -m: modules of the current folder can be imported, such as that of
    # --optimizer=mine:rule.
    sys.path.insert(0, os.getcwd())
    if path.parent.name == "scripts":  # they import each other
        for folder in FOLDERS:
            _import_package(folder)
    sys.argv = [f"gradjax {name}", *flags]
    _run(path)
    sys.exit(0)


def _run(path: Path) -> None:
    """Runs a file as the main module; `runpy` would replace the command's name."""
    module = ModuleType("__main__")
    module.__file__ = str(path)
    # Its name is that of python -m, which a record keeps as the name of the source.
    module.__spec__ = ModuleSpec(f"{path.parent.name}.{path.stem}", None)
    sys.modules["__main__"] = module
    exec(compile(path.read_bytes(), path, "exec"), module.__dict__)


def files() -> dict[str, Path]:
    """Returns the name of every experiment and script -> its file."""
    return {
        path.stem: path
        for folder in FOLDERS
        for path in sorted((_ROOT / folder).glob("[!_]*.py"))
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    }


def listing() -> list[str]:
    """Returns the lines that list all names, with the first line of each docstring."""
    found = files()
    width = max(map(len, found))
    lines = ["usage: gradjax NAME [--flags]; `gradjax NAME --help` lists its flags"]
    for folder in FOLDERS:
        lines += ["", f"{folder}:"]
        for name, path in found.items():
            if path.parent.name == folder:
                lines.append(f"  {name:<{width}}  {_claim(path)}")
    return lines


def _claim(path: Path) -> str:
    """Returns the first sentence of the docstring of a file, which is not run."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first, _, _ = " ".join(doc.partition("\n\n")[0].split()).partition(": `")
    return first.rstrip(".")


def _import_package(folder: str) -> None:
    """Imports a package from beside gradjax, whatever else has its name."""
    place = _ROOT / folder
    spec = importlib.util.spec_from_file_location(
        folder, place / "__init__.py", submodule_search_locations=[str(place)]
    )
    assert spec is not None and spec.loader is not None  # the file is in the package
    module = importlib.util.module_from_spec(spec)
    sys.modules[folder] = module
    spec.loader.exec_module(module)
