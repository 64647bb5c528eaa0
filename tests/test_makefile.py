"""What the commands of make would do, by dry runs; nothing is installed."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def make(tmp_path):
    """Runs make with some words in a folder without an environment."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)

    # A make that runs these tests passes its own variables on in the environment.
    outer = ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "ARGS", "EXTRA", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if name not in outer}

    def run(*words):
        command = ["make", "--no-print-directory", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=kept, capture_output=True, text=True
        )

    return run


def installed(done):
    """The extras that pip would install, in order."""
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "pip install" in line]
    assert all("-c constraints.txt -e" in line for line in lines)
    return [line.rpartition("-e ")[2] for line in lines]


@pytest.mark.parametrize(
    ("words", "extras"),
    [
        (["mnist"], ["'.'"]),
        (["mnist", "EXTRA=cuda"], ["'.'", "'.[cuda]'"]),
        (["install", "EXTRA=cuda,stream"], ["'.'", "'.[cuda]'", "'.[stream]'"]),
        (["test", "EXTRA=tpu"], ["'.[test]'", "'.[tpu]'"]),
    ],
)
def test_extras_are_installed_with_the_tested_versions(make, words, extras):
    assert installed(make("-n", *words)) == extras


def test_what_is_installed_is_not_installed_again(make, tmp_path):
    (tmp_path / ".venv").mkdir()
    for name in ("pyvenv.cfg", ".installed-core", ".installed-cuda"):
        (tmp_path / ".venv" / name).touch()
    done = make("-n", "-o", ".venv/pyvenv.cfg", "mnist", "EXTRA=cuda")
    assert installed(done) == []
    assert done.stdout == ".venv/bin/python -m experiments.mnist \n"


def test_an_unknown_extra_is_one_line_that_lists_the_known_ones(make):
    done = make("mnist", "EXTRA=cuda,cud")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and done.stdout == ""
    assert "EXTRA=cuda,cud: expected one or more of " in line
    listed = line.partition(" of ")[2].removesuffix(".  Stop.").split()
    assert listed == list(EXTRAS), "as pyproject.toml lists them"


def test_help_names_the_extras_of_accelerators(make):
    said = make("help").stdout
    assert "[EXTRA=cuda]" in said and "EXTRA=tpu" in said
