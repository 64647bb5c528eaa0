"""The how-tos are right as written: code and commands run, links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
ADDING = (ROOT / "docs" / "adding-an-optimizer.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", ADDING, re.DOTALL)
COMMANDS = [
    line
    for block in re.findall(r"```console\n(.*?)```", ADDING, re.DOTALL)
    for line in block.splitlines()
]


PROBLEMS = re.findall(
    r"```python\n(.*?)```",
    (ROOT / "docs" / "adding-a-problem.md").read_text(),
    re.DOTALL,
)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b, marks=[pytest.mark.slow] * (k > 0))
        for k, b in enumerate(PROBLEMS)
    ],
    ids=["linen", "nnx", "equinox", "apply"],
)
def test_a_problem_of_ones_own_is_trained_as_written(block, capsys):
    if "import equinox" in block:
        pytest.importorskip("equinox")
    exec(compile(block, "adding-a-problem.md", "exec"), {"__name__": "page"})
    value = float(capsys.readouterr().out)
    assert value > 0.8 if "accuracy" in block else 0.0 < value < 2.2


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text("\n".join(SNIPPETS[:2]))
    return tmp_path


def run(folder, words):
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{folder}"}
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_check_by_hand_agrees(mine):
    done = run(mine, ["-c", SNIPPETS[2]])
    assert done.returncode == 0, done.stderr
    found, by_hand = map(float, done.stdout.split())
    assert found == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=[pytest.mark.slow] * (number > 0))
        for number, command in enumerate(c for c in COMMANDS if "mine:" in c)
    ],
)
def test_a_command_with_the_readers_own_optimizer_runs(command, mine):
    words = shlex.split(command)
    done = run(mine, [*words[1:], "--steps=20", "--noplot"])
    assert done.returncode == 0, done.stderr
    assert ": finished" in done.stdout


def test_entries_named_as_examples_say_so():
    from gradjax.optimizers import OPTIMIZERS, WRAPPERS

    known = {**OPTIMIZERS, **WRAPPERS}
    rows = re.findall(r"^\| `(\w+)` \|.*\| (`.*?) \|$", ADDING, re.MULTILINE)
    assert len(rows) == 7
    for field, examples in rows:
        default = type(known["adam"])._field_defaults[field]
        for name in set(re.findall(r"`(\w+)`", examples)) & known.keys():
            assert getattr(known[name], field) != default, (field, name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert "://" in link or (page.parent / link).exists(), link
