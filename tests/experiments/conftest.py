"""A command as its user types it: a process in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradjax.commands import compilation_cache, devices
from gradjax.commands.main import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Where the commands of a module keep what they compile and decode."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def typed(tmp_path, cache):
    """Runs `python -m <module> <flags>` in tmp_path, by default without TFDS's data."""

    def run(module, *flags, **more):
        kept = {k: v for k, v in os.environ.items() if k != "TFDS_DATA_DIR"}
        paths = {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache)}
        return subprocess.run(
            [sys.executable, "-m", module, *flags],
            cwd=tmp_path,
            env=kept | paths | {"HOME": str(cache)} | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """The one line by which an experiment refuses its flags; nothing is written."""

    def line(what, *flags):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [what.name, *flags])
        monkeypatch.setattr(compilation_cache, "keep", lambda _: None)
        monkeypatch.setattr(devices, "use", lambda _: None)
        with pytest.raises(SystemExit) as stopped:
            main(what)
        said = capsys.readouterr().err
        assert stopped.value.code == 2
        assert said.count("\n") == 1
        assert list(tmp_path.iterdir()) == []
        return said

    return line
