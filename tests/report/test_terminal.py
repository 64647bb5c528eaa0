"""What is printed where stdout cannot print everything."""

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gradjax
from gradjax.report import terminal

ROOT = Path(gradjax.__file__).parents[1]
SOURCES = [
    path
    for room in ("gradjax", "scripts", "experiments")
    for path in sorted((ROOT / room).rglob("*.py"))
]


PRINTED = {"ascii": "R?ka: ???\n", "latin-1": "R\xe9ka: ???\n"}


@pytest.mark.parametrize(("encoding", "expected"), PRINTED.items())
def test_what_stdout_cannot_print_is_replaced(monkeypatch, encoding, expected):
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding))
    terminal.say("Réka: いい👍")
    terminal.table("R", [("いい👍", "ok")])
    assert content.getvalue().decode(encoding).startswith(expected)
    terminal.replace_unprintable()
    print("Réka: いい👍", flush=True)  # as the progress bar of rich does
    assert content.getvalue().decode(encoding).endswith(expected)


def test_half_of_a_surrogate_pair_is_replaced_in_utf_8(monkeypatch):
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding="utf-8"))
    terminal.say("a file named \udcff, Réka")
    assert content.getvalue().decode() == "a file named ?, Réka\n"


@pytest.mark.slow
def test_everything_is_printed_by_one_function():
    """Only `terminal.say` prints on stdout, because only it replaces characters."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        if path.name != "terminal.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", None) == "print"
        and not any(one.arg == "file" for one in node.keywords)
    ]
    assert not found


@pytest.mark.slow
def test_a_run_with_names_of_every_language_ends_in_a_c_locale(tmp_path):
    lines = [f"это {k}\t{'да' if k % 2 else 'нет'}" for k in range(30)]
    (tmp_path / "имя.tsv").write_text("\n".join(lines), encoding="utf-8")
    flags = ["--dataset=имя.tsv", "--model=bag(width=4)", "--steps=2", "--noplot"]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.text", *flags],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="ascii",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "???.tsv: TSV without a header" in done.stdout
    assert "keeps this run" in done.stdout
