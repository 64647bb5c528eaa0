"""A picture that cannot be drawn loses nothing, and is drawn later."""

import json

import pytest

import gradjax
from gradjax.commands import train
from gradjax.plots import paths

RUN = ("--dataset=digits", "--steps=10", "--workdir=mine")
SWEEP = (*RUN, "--sweep=learning_rate=[0.01, 0.1]", "--fresh_seeds=0")


def broken(*_args, **_more):
    raise RuntimeError("Expected end of text,\n found '$'")


@pytest.mark.parametrize(
    "flags", [pytest.param(RUN, id="run"), pytest.param(SWEEP, id="sweep")]
)
@pytest.mark.slow
def test_a_failed_picture_is_one_line_and_the_same_command_draws_it(
    flags, typed, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(train.pictures, "of_run", broken)
        patch.setattr(train.pictures, "of_sweep", broken)
        done = typed("experiments.mnist", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    line = "no picture is drawn (RuntimeError: Expected end of text, found '$')"
    assert line in done.stdout and ": finished" in done.stdout
    summary = (tmp_path / "mine" / "summary.json").read_text()
    assert json.loads(summary)["num_diverged"] == 0
    assert not (tmp_path / "mine" / "curves.png").exists()
    results = gradjax.frames(tmp_path / "mine").trials.test_loss.tolist()

    again = typed("experiments.mnist", *flags)
    assert again.returncode == 0 and "is finished already" in again.stdout
    assert (tmp_path / "mine" / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "mine" / "summary.json").read_text() == summary
    assert gradjax.frames(tmp_path / "mine").trials.test_loss.tolist() == results


@pytest.mark.slow
def test_a_lesson_is_kept_without_its_picture(typed, tmp_path, monkeypatch):
    flags = ("--surface=booth", "--steps=10", "--workdir=mine")
    monkeypatch.setattr(paths, "picture", broken)
    done = typed("experiments.descent", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no picture is drawn (RuntimeError" in done.stdout
    assert gradjax.load(tmp_path / "mine").summary["status"] == "finished"
