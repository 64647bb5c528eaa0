"""A picture that cannot be drawn loses nothing, and is drawn later."""

import json
from typing import NamedTuple

import pytest

import gradjax
from gradjax.commands import drawing, lesson
from gradjax.plots import paths
from gradjax.types import LessonResult, Options

RUN = ("--dataset=digits", "--steps=10", "--workdir=mine")
SWEEP = (*RUN, "--sweep=learning_rate=[0.01, 0.1]", "--fresh_seeds=0")


class Settings(NamedTuple):
    """The settings of a lesson."""

    experiment: str = "lesson"


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
        patch.setattr(drawing.pictures, "of_run", broken)
        patch.setattr(drawing.pictures, "of_sweep", broken)
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
    with monkeypatch.context() as patch:
        patch.setattr(paths, "picture", broken)
        done = typed("experiments.descent", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    line = "no picture is drawn (RuntimeError: Expected end of text, found '$')"
    assert f"{line}; the results are stored, and the same command" in done.stdout
    assert gradjax.load(tmp_path / "mine").summary["status"] == "finished"
    summary = (tmp_path / "mine" / "summary.json").read_bytes()
    assert not (tmp_path / "mine" / "picture.png").exists()

    for count in (1, 0):
        again = typed("experiments.descent", *flags)
        assert again.returncode == 0 and "is finished already" in again.stdout
        assert again.stdout.count("computing it again") == count
        for name in ("picture.png", "animation.gif"):
            assert (tmp_path / "mine" / name).is_file()
    assert (tmp_path / "mine" / "summary.json").read_bytes() == summary


def test_the_same_lesson_draws_the_picture_that_failed(tmp_path, monkeypatch, capsys):
    drawn = iter([broken, lambda: b"a picture"])

    def find():
        return LessonResult(
            "It is so.", {}, [("a", "b")], {}, {"picture.png": next(drawn)}
        )

    options, folder = Options(workdir="mine"), tmp_path / "mine"
    monkeypatch.chdir(tmp_path)
    lesson.run(Settings(), options, find)
    assert not (folder / "picture.png").exists()
    lesson.run(Settings(), options._replace(plot=False), find)
    assert not (folder / "picture.png").exists()
    lesson.run(Settings(), options, find)
    assert (folder / "picture.png").read_bytes() == b"a picture"
    lesson.run(Settings(), options, find)  # a third call of `find` would raise
    assert capsys.readouterr().out.count("computing it again") == 1
