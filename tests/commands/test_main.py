import sys

import pytest

from experiments.minimize import EXPERIMENT
from gradjax.commands.main import main


def _fails(message):
    def train(*_args, **_kwargs):
        raise RuntimeError(message)

    return train


def test_a_platform_that_jax_does_not_have_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["minimize", "--problem=ridge"])
    with pytest.raises(SystemExit) as ended:
        main(EXPERIMENT, _fails("Unable to initialize backend 'x': it is not\nknown"))
    assert ended.value.code == 2
    line = "JAX cannot start: Unable to initialize backend 'x': it is not known\n"
    assert capsys.readouterr().err == line


def test_another_fault_of_ours_is_not_hidden(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["minimize", "--problem=ridge"])
    with pytest.raises(RuntimeError, match="a mistake"):
        main(EXPERIMENT, _fails("a mistake"))
