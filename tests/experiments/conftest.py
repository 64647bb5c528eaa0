"""Experiments as their users type them."""

import sys

import pytest

from gradjax.commands import compilation_cache
from gradjax.commands.main import main
from gradjax.commands.train import train
from gradjax.trials import devices


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """The one line by which an experiment refuses its flags; nothing is written."""

    def line(what, *flags, train=train):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [what.name, *flags])
        monkeypatch.setattr(compilation_cache, "keep", lambda _: None)
        monkeypatch.setattr(devices, "use", lambda _: None)
        with pytest.raises(SystemExit) as stopped:
            main(what, train)
        said = capsys.readouterr().err
        assert stopped.value.code == 2
        assert said.count("\n") == 1
        assert list(tmp_path.iterdir()) == []
        return said

    return line
