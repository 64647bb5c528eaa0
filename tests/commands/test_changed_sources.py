"""A result is never taken for that of code which has been edited since."""

import functools
import sys

import pytest

import gradjax

OWN = ("--dataset=digits", "--steps=20", "--optimizer=mine:rule", "--noplot")
RULE = """import optax
from helper import SCALE


def rule(learning_rate):
    return optax.chain(optax.scale(SCALE), optax.sgd(learning_rate))
"""


@pytest.fixture
def command(typed, tmp_path, monkeypatch):
    """Runs an experiment beside mine.py, which imports helper.py; both are new."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine.py").write_text(RULE)
    (tmp_path / "helper.py").write_text("SCALE = 0.5\n")

    def run(*flags, module="experiments.mnist"):
        for name in ("mine", "helper"):
            sys.modules.pop(name, None)
        own = OWN if module == "experiments.mnist" else ()
        return typed(module, *own, "--workdir=mine_run", *flags)

    yield run
    for name in ("mine", "helper"):
        sys.modules.pop(name, None)


DECORATED = RULE.replace("import optax", "import gradjax, optax").replace(
    "def rule", '@gradjax.optimizer(static=("every",))\ndef rule'
)
DECORATED = DECORATED.replace("(learning_rate)", "(learning_rate, every=1)", 1)


def losses(folder):
    return gradjax.frames(folder).trials.validation_loss


@pytest.mark.slow
def test_an_edited_helper_is_refused_by_name_and_accepted_or_run_again(
    command, tmp_path
):
    folder = tmp_path / "mine_run"
    assert command().returncode == 0
    before = losses(folder)
    assert "is finished already" in command().stdout

    (tmp_path / "helper.py").write_text("SCALE = 2.0\n")
    refused = command("--seeds=2")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert "sources.helper.py" in refused.stderr
    assert "--accept_changes" in refused.stderr and "--overwrite" in refused.stderr
    assert command().returncode == 2, "the old table of edited code"

    accepted = command("--seeds=2", "--accept_changes")
    assert accepted.returncode == 0, accepted.stderr
    trials = gradjax.frames(folder).trials
    assert trials.validation_loss[0] == before[0]
    assert trials.environment.tolist() == [0, 1]

    assert command("--overwrite").returncode == 0
    (after,) = losses(folder)
    assert after != before[0]


@pytest.mark.slow
def test_the_own_module_counts_in_a_sweep_that_names_it_in_its_space(command, tmp_path):
    flags = ("--sweep=optimizer=[sgd, 'mine:rule']", "--fresh_seeds=0")
    (tmp_path / "mine.py").write_text(DECORATED)
    assert command(*flags, "--workdir=swept").returncode == 0
    (tmp_path / "mine.py").write_text(DECORATED + "# another comment\n")
    refused = command(*flags, "--workdir=swept")
    assert refused.returncode == 2 and "sources.mine.py" in refused.stderr


def test_a_lesson_with_an_edited_module_is_refused(command, tmp_path):
    flags = ("--optimizer=mine:rule", "--surface=booth", "--steps=10", "--noplot")
    lesson = functools.partial(command, *flags, module="experiments.descent")
    first = lesson()
    assert first.returncode == 0, first.stderr
    assert "is finished already" in lesson().stdout
    (tmp_path / "helper.py").write_text("SCALE = 0.25\n")
    refused = lesson()
    assert refused.returncode == 2 and "helper.py" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert lesson("--overwrite").returncode == 0
