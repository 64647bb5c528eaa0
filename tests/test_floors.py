import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = [
    "errors",
    "own_code",
    "counts",
    "types",
    "files",
    "expressions",
    "schedules",
    "data",
    "models",
    "problems",
    "optimizers",
    "diagnostics",
    "training",
    "trials",
    "derivatives",
    "search",
    "records",
    "executors",
    "sweeps",
    "suites",
    "analysis",
    "plots",
    "pages",
    "report",
    "tuning",
    "comparing",
    "commands",
    "__init__",
]
HEAVY = {
    "cloudpickle",
    "grain",
    "ray",
    "tensorflow_datasets",
    "matplotlib",
    "sklearn",
    "scipy",
    "rich",
    "pandas",
    "jinja2",
    "opda",
    "optuna",
    "sacrebleu",
    "tokenizers",
}
MAX_LINES = 300

FILES = sorted((ROOT / "gradjax").rglob("*.py"))
EVERY_FILE = [
    *FILES,
    *sorted((ROOT / "experiments").rglob("*.py")),
    *sorted((ROOT / "scripts").rglob("*.py")),
]


def name_of(path):
    return str(path.relative_to(ROOT))


def room_of(module):
    """`gradjax.data.order` -> `data`; `gradjax` -> `__init__`."""
    return module.split(".")[1] if "." in module else "__init__"


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imports(tree, package, at_top=False):
    """Every module that the tree imports, a `from package import module` resolved."""
    for node in _run_on_import(tree) if at_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in MODULES else base


def _run_on_import(tree):
    """The nodes that run when a module is imported: not the bodies of functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _run_on_import(node)


def imported(path, at_top=False):
    module = module_of(path)
    is_package = path.name == "__init__.py"
    package = module if is_package else module.rpartition(".")[0]
    return sorted(set(imports(ast.parse(path.read_text()), package, at_top)))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_only_from_the_floors_above(path):
    room = room_of(module_of(path))
    assert room in FLOORS, f"{room} has no floor: add it to FLOORS where it belongs"
    allowed = FLOORS[: FLOORS.index(room) + 1]
    if room == "__init__":
        allowed = [floor for floor in FLOORS if floor != "commands"]
    ours = [name for name in imported(path) if name.split(".")[0] == "gradjax"]
    wrong = [name for name in ours if room_of(name) not in allowed]
    assert not wrong, f"{name_of(path)} ({room}) reaches down to {wrong}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_third_parties_stay_in_their_rooms(path):
    room, found = room_of(module_of(path)), imported(path)
    tops = {name.split(".")[0] for name in found}
    # Grain's processes read flags of absl, which a library must declare as parsed.
    knows_absl = room == "commands" or path.parts[-2:] == ("trials", "reader.py")
    assert "absl" not in tops or knows_absl, "only commands/ knows absl"
    assert "flax" not in tops or room == "models", "only models/ knows flax"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_imports_happen_where_they_are_used(path):
    tops = {name.split(".")[0] for name in imported(path, at_top=True)}
    assert not tops & HEAVY


def test_the_walk_sees_imports_of_every_form():
    text = "import a.b\nfrom . import files\nfrom gradjax import data as d\n"
    text += "class C:\n    import rich\ndef f():\n    import scipy.stats\n"
    tree = ast.parse(text)
    everywhere = {"a.b", "gradjax.files", "gradjax.data", "rich", "scipy.stats"}
    assert set(imports(tree, "gradjax")) == everywhere
    assert set(imports(tree, "gradjax", at_top=True)) == everywhere - {"scipy.stats"}


def test_no_import_cycle():
    graph = {
        module: {name for name in imported(path) if name in MODULES} - {module}
        for module, path in MODULES.items()
    }
    left = dict(graph)
    while free := [module for module, needs in left.items() if not needs & left.keys()]:
        for module in free:
            del left[module]
    assert not left, f"these import each other: {sorted(left)}"


@pytest.mark.parametrize("path", EVERY_FILE, ids=name_of)
def test_an_internal_function_takes_at_most_six_arguments(path):
    """More are only those of a public call, each of them a name that users write."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("_"):
            given = node.args
            names = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            names = [one.arg for one in names if one.arg not in ("self", "cls")]
            assert len(names) <= 6 or node.name == "__init__", node.name


@pytest.mark.parametrize("path", EVERY_FILE, ids=name_of)
def test_a_file_is_one_concept(path):
    assert len(path.read_text().splitlines()) <= MAX_LINES
