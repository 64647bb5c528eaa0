"""Digests of sources: which files count, and that no installed one does."""

import sys

import pytest

from gradjax.records import environment, sources


@pytest.fixture
def project(tmp_path, monkeypatch):
    """(name, text) -> a file is written into a folder on the import path."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    sources._is_installed.cache_clear()
    yield write
    sources._is_installed.cache_clear()
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_counts_with_all_that_it_imports(project):
    project("mine.py", "import helper\nfrom parts import first\nimport numpy, json\n")
    project("helper.py", "def later():\n    import hidden\n")
    project("hidden.py", "VALUE = 1\n")
    project("parts/__init__.py", "")
    project("parts/first.py", "from . import second\nfrom .second import x\n")
    project("parts/second.py", "x = 1\n")
    project("unused.py", "")
    __import__("mine")
    found = sources.digests(["mine"])
    own = ["helper.py", "hidden.py", "mine.py"]
    own += ["parts/__init__.py", "parts/first.py", "parts/second.py"]
    assert sorted(found) == ["gradjax", *own]
    assert all(len(digest) == 16 for digest in found.values())
    for name in ("hidden.py", "parts/second.py", "helper.py"):
        project(name, "x = 2\n# edited\n")
        edited = sources.digests(["mine"])
        assert edited[name] != found[name]


def test_a_folder_without_an_init_file_is_ones_own_too(project):
    project("space/inner.py", "import numpy\n")
    __import__("space.inner")
    assert sorted(sources.digests(["space.inner"])) == ["gradjax", "space/inner.py"]


def test_what_is_installed_or_unknown_does_not_count():
    names = [
        "numpy",
        "jax.numpy",
        "json",
        "gradjax.optimizers",
        "no_such_module",
        "sys",
    ]
    assert list(sources.digests(names)) == ["gradjax"]


def test_importing_nothing_that_is_not_imported(project):
    """Looking for a part of an installed package would import the package."""
    project("mine.py", "def later():\n    import xml.dom.pulldom\n")
    __import__("mine")
    sys.modules.pop("xml.dom.pulldom", None)
    sources.digests(["mine"])
    assert "xml.dom.pulldom" not in sys.modules


def test_modules_are_found_in_expressions(project):
    project("mine.py", "")
    project("mine_too.py", "")
    __import__("mine"), __import__("mine_too")
    said = {"optimizer": "chain(mine:rule(b1=0.5), sgd)", "own": [("a", "mine_too:x")]}
    assert sources.named_modules(said) == {"mine", "mine_too"}
    assert sources.named_modules({"path": "C:folder", "n": 3, "x": None}) == set()


def test_gradjax_itself_is_one_source(monkeypatch, tmp_path):
    here = environment()["sources"]["gradjax"]
    (tmp_path / "module.py").write_text("x = 1")
    monkeypatch.setattr(sources, "_PACKAGE", tmp_path)
    sources._of_gradjax.cache_clear()
    other = environment()["sources"]["gradjax"]
    (tmp_path / "module.py").write_text("x = 2")
    assert environment()["sources"]["gradjax"] == other, "read once in a process"
    sources._of_gradjax.cache_clear()
    assert len({here, other, environment()["sources"]["gradjax"]}) == 3
    sources._of_gradjax.cache_clear()
