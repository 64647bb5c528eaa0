"""The how-tos are right as written: code and commands run, links lead somewhere."""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
ADDING = (ROOT / "docs" / "adding-an-optimizer.md").read_text()
# The day in order: (kind of block, its text).
BLOCKS = re.findall(r"```(python|console)\n(.*?)```", ADDING, re.DOTALL)
SNIPPETS = [text for kind, text in BLOCKS if kind == "python"]
AGREEING, CHECK, IN_PYTHON, EXTRAGRADIENT = SNIPPETS
FIRST = next(
    line for kind, text in BLOCKS for line in text.splitlines() if "mine:" in line
)


PROBLEMS = re.findall(
    r"```python\n(.*?)```",
    (ROOT / "docs" / "adding-a-problem.md").read_text(),
    re.DOTALL,
)


@pytest.mark.parametrize(
    "block",
    PROBLEMS,
    ids=["linen", "nnx", "equinox", "apply"],
)
@pytest.mark.slow
def test_a_problem_of_ones_own_is_trained_as_written(block, capsys):
    if "import equinox" in block:
        pytest.importorskip("equinox")
    exec(compile(block, "adding-a-problem.md", "exec"), {"__name__": "page"})
    value = float(capsys.readouterr().out)
    assert value > 0.8 if "accuracy" in block else 0.0 < value < 2.2


@pytest.mark.slow
@pytest.mark.parametrize(
    "block",
    re.findall(
        r"```python\n(.*?)```",
        (ROOT / "docs" / "diagnostics.md").read_text(),
        re.DOTALL,
    ),
    ids=["function", "memory", "library", "tracker"],
)
def test_a_diagnostic_is_measured_as_written(block, capsys):
    exec(compile(block, "diagnostics.md", "exec"), {"__name__": "page"})
    said = capsys.readouterr().out
    assert said.strip() and "nan" not in said


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(AGREEING)
    return tmp_path


# Commands that have tests of their own.
ELSEWHERE = ("make", "python -m scripts.optimizer_table")


def run(folder, words, root=ROOT):
    environment = os.environ | {"PYTHONPATH": f"{root}:{folder}"}
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_the_check_by_hand_agrees(mine):
    done = run(mine, ["-c", CHECK])
    assert done.returncode == 0, done.stderr
    found, by_hand = map(float, done.stdout.split())
    assert found == pytest.approx(by_hand, rel=1e-6)


def test_the_first_command_runs_as_written_in_a_fresh_clone(tmp_path):
    clone = tmp_path / "gradjax"
    listed = ["git", "ls-files", "gradjax", "experiments", "scripts"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True).stdout
    for name in files.split():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    (clone / "mine.py").write_text(AGREEING)
    done = run(clone, [*shlex.split(FIRST)[1:], "--steps=20", "--noplot"], clone)
    assert done.returncode == 0, done.stderr
    assert ": finished" in done.stdout


@pytest.mark.slow
def test_the_day_with_an_own_optimizer_runs_as_written(tmp_path, typed, monkeypatch):
    """Every block of the page in order, except for commands tested elsewhere."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    own, said = tmp_path / "mine.py", []
    own.write_text(AGREEING)

    def command(words):
        if words[0] != "python":
            subprocess.run(words, check=True)
            return ""
        done = typed(*words[2:])
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    for kind, text in BLOCKS:
        sys.modules.pop("mine", None)
        if text == EXTRAGRADIENT:
            own.write_text(own.read_text() + text)
        elif kind == "python" and text != AGREEING:
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(text, {})
            said.append(printed.getvalue())
        elif kind == "console":
            lines = [one for one in text.splitlines() if not one.startswith(ELSEWHERE)]
            for words in map(shlex.split, lines):
                if words[-1] == "--overwrite":  # section 3: without it, one line
                    sys.modules.pop("mine", None)
                    refused = typed(*words[2:-1])
                    assert "mine.py" in refused.stderr and refused.returncode == 2
                said.append(command(words))
    sys.modules.pop("mine", None)
    assert (tmp_path / "my_sweep" / "curves.png").stat().st_size > 10_000
    (swept,) = [one for one in said if "my_sweep keeps this sweep" in one]
    for name in ("mine:agreeing", "adamw", "sgd"):
        assert name in swept and name in said[-2], "the table, and the frame in Python"


def test_entries_named_as_examples_say_so():
    from gradjax.optimizers import OPTIMIZERS, WRAPPERS

    known = {**OPTIMIZERS, **WRAPPERS}
    rows = re.findall(r"^\| `(\w+)` \|.*\| (`.*?) \|$", ADDING, re.MULTILINE)
    assert len(rows) == 8
    for field, examples in rows:
        default = type(known["adam"])._field_defaults[field]
        for name in set(re.findall(r"`(\w+)`", examples)) & known.keys():
            assert getattr(known[name], field) != default, (field, name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert "://" in link or (page.parent / link).exists(), link
