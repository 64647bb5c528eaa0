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
    project(
        "own_mine.py",
        "import own_helper\nfrom own_parts import first\nimport numpy, json\n",
    )
    project("own_helper.py", "def later():\n    import own_hidden\n")
    project("own_hidden.py", "VALUE = 1\n")
    project("own_parts/__init__.py", "")
    project("own_parts/first.py", "from . import second\nfrom .second import x\n")
    project("own_parts/second.py", "x = 1\n")
    project("own_unused.py", "")
    __import__("own_mine")
    found = sources.digests(["own_mine"])
    own = ["own_helper.py", "own_hidden.py", "own_mine.py"]
    own += ["own_parts/__init__.py", "own_parts/first.py", "own_parts/second.py"]
    assert sorted(found) == ["gradjax", *own]
    assert all(len(digest) == 16 for digest in found.values())
    for name in ("own_hidden.py", "own_parts/second.py", "own_helper.py"):
        project(name, "x = 2\n# edited\n")
        edited = sources.digests(["own_mine"])
        assert edited[name] != found[name]


def test_a_folder_without_an_init_file_is_ones_own_too(project):
    project("own_space/inner.py", "import numpy\n")
    __import__("own_space.inner")
    assert sorted(sources.digests(["own_space.inner"])) == [
        "gradjax",
        "own_space/inner.py",
    ]


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
    project("own_mine.py", "def later():\n    import xml.dom.pulldom\n")
    __import__("own_mine")
    sys.modules.pop("xml.dom.pulldom", None)
    sources.digests(["own_mine"])
    assert "xml.dom.pulldom" not in sys.modules


def test_modules_are_found_in_expressions(project):
    project("own_mine.py", "")
    project("own_mine_too.py", "")
    __import__("own_mine"), __import__("own_mine_too")
    said = {
        "optimizer": "chain(own_mine:rule(b1=0.5), sgd)",
        "own": [("a", "own_mine_too:x")],
    }
    assert sources.named_modules(said) == {"own_mine", "own_mine_too"}
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
