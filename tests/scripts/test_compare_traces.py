import importlib
import shlex
import shutil
import subprocess

import numpy as np
import pytest

from gradjax.commands import parsing
from gradjax.commands.experiment import groups_of
from gradjax.errors import Refusal
from scripts import compare_traces
from scripts.compare_traces import CASES, difference, new_curves, write_data


def columns(values, steps=None, rows=None):
    """One curve named loss, as `curves_of` returns it."""
    count = len(values)
    return {
        "rows": np.array(rows or [0] * count),
        "names": np.array(["loss"] * count),
        "steps": np.array(steps or range(1, count + 1), np.float64),
        "values": np.array(values, np.float64),
    }


def test_equal_curves_do_not_differ():
    assert difference(columns([1.0, np.nan]), columns([1.0, np.nan])) is None


@pytest.mark.parametrize(
    ("one", "other"), [(1.0, np.nextafter(1.0, 2.0)), (0.0, -0.0), (np.nan, 1.0)]
)
def test_one_other_bit_is_a_difference(one, other):
    said = difference(columns([2.0, one, 3.0]), columns([2.0, other, 3.0]))
    assert said.startswith("1 of 3 points differ, first loss of trial 0 at 2: ")
    assert said.endswith(f"{np.float64(one)!r} and {np.float64(other)!r}")


def test_the_first_point_that_differs_is_named_with_its_trial():
    one = columns([1.0, 2.0, 3.0], steps=[5, 5, 5], rows=[0, 1, 2])
    other = columns([1.0, 7.0, 8.0], steps=[5, 5, 5], rows=[0, 1, 2])
    assert difference(one, other).startswith(
        "2 of 3 points differ, first loss of trial 1 at 5: "
    )


def test_points_of_one_side_alone_are_counted_and_the_side_is_named():
    few, many = columns([1.0]), columns([1.0, 2.0, 3.0])
    said = "2 points are on one side alone, first loss of trial 0 at 2 in"
    assert difference(few, many) == f"{said} the working tree"
    assert difference(many, few) == f"{said} the revision"


def test_a_new_curve_is_named_and_a_lost_one_is_a_difference():
    few, many = columns([1.0]), columns([1.0, 2.0], rows=[0, 0], steps=[1, 1])
    many["names"] = np.array(["loss", "bits"])
    assert difference(few, many) is None
    assert new_curves(few, many) == ["bits"] and new_curves(many, few) == []
    assert "first bits of trial 0 at 1 in the revision" in difference(many, few)
    assert "on one side alone" in difference(few, columns([]))


def test_the_data_are_the_same_every_time(tmp_path):
    folders = [tmp_path / side for side in ("old", "new")]
    for folder in folders:
        folder.mkdir()
        write_data(folder)
    old, new = ({p.name: p.read_bytes() for p in f.iterdir()} for f in folders)
    assert old == new
    expected = {"labels.tsv", "book.txt", "pairs.en", "pairs.de", "ratings.csv"}
    assert old.keys() == expected
    assert old["pairs.en"].count(b"\n") == old["pairs.de"].count(b"\n") == 200
    labels = {line.split(b"\t")[0] for line in old["labels.tsv"].splitlines()}
    assert labels == {b"long", b"short"}


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_flags_that_exist(case):
    name, *given = shlex.split(CASES[case])
    module = importlib.import_module(f"experiments.{name}")
    is_lesson = hasattr(module, "LESSON")
    assert is_lesson == (name in compare_traces._LESSONS)
    groups = groups_of(module.LESSON if is_lesson else module.EXPERIMENT)
    values = parsing.parse([name, *given], groups)
    for flag in given:
        assert values[flag[2:].partition("=")[0]] not in (None, ())


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of one commit, in place of this one; returns its folder."""
    folder = tmp_path / "repository"
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / "code.py").write_text("1")
    for words in (["add", "."], [*author, "commit", "-q", "-m", "One"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    monkeypatch.setattr(compare_traces, "_ROOT", folder)
    return folder


def worktrees(folder):
    command = ["git", "-C", str(folder), "worktree", "list"]
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@needs_git
def test_the_revision_is_checked_out_compared_and_removed(
    repository, tmp_path, monkeypatch, capsys
):
    (repository / "code.py").write_text("2")  # not committed

    def curves(tree, case, folder):
        assert (folder / "book.txt").is_file()
        code = float((tree / "code.py").read_text())
        return columns([code if case == "mlp" else 0.0])

    monkeypatch.setattr(compare_traces, "curves_of", curves)
    assert compare_traces.compare("HEAD", ["mlp", "cnn"], tmp_path) == 1
    mlp, cnn = capsys.readouterr().out.splitlines()
    assert mlp.startswith("mlp: 1 of 1 points differ") and mlp.endswith(
        f"{np.float64(1)!r} and {np.float64(2)!r}"
    )
    assert cnn == "cnn: 1 points, equal"
    assert len(worktrees(repository)) == 1


@needs_git
def test_a_command_that_fails_leaves_no_worktree(repository, tmp_path, monkeypatch):
    def curves(*_):
        raise Refusal("the command fails")

    monkeypatch.setattr(compare_traces, "curves_of", curves)
    with pytest.raises(Refusal, match="the command fails"):
        compare_traces.compare("HEAD", ["mlp"], tmp_path)
    assert len(worktrees(repository)) == 1


@needs_git
@pytest.mark.usefixtures("repository")
def test_the_exit_code_says_whether_a_trace_differs(monkeypatch, capsys):
    found = iter([columns([1.0]), columns([1.0]), columns([1.0]), columns([2.0])])
    monkeypatch.setattr(compare_traces, "curves_of", lambda *_: next(found))
    assert compare_traces.main(["HEAD", "mlp"]) == 0
    assert capsys.readouterr().out.endswith("0 of 1 differ\n")
    assert compare_traces.main(["HEAD", "mlp"]) == 1
    assert capsys.readouterr().out.endswith("1 of 1 differ\n")
    assert compare_traces.main(["no-such-revision", "mlp"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("compare_traces: git: ") and error.count("\n") == 1


def test_an_unknown_case_is_one_line_and_exit_code_2(capsys):
    assert compare_traces.main(["HEAD", "mpl"]) == 2
    error = capsys.readouterr().err
    assert "unknown case 'mpl'; did you mean 'mlp'" in error
    assert error.count("\n") == 1


def test_help_prints_the_usage(capsys):
    assert compare_traces.main([]) == 0
    assert "usage: python -m scripts.compare_traces" in capsys.readouterr().out


def test_a_command_that_fails_is_refused_with_its_last_line(tmp_path):
    with pytest.raises(Refusal, match="-c import sys.*: the last line"):
        compare_traces._python(
            compare_traces._ROOT,
            tmp_path,
            ["-c", "import sys; sys.exit('the first line\\nthe last line')"],
        )


@pytest.mark.slow
def test_curves_are_those_of_the_record_without_points_after_divergence(tmp_path):
    root = compare_traces._ROOT
    lbfgs = compare_traces.curves_of(root, "lbfgs", tmp_path)
    assert set(lbfgs["names"]) >= {"loss"}
    steps = lbfgs["steps"][lbfgs["names"] == "loss"]
    assert (np.diff(steps) > 0).all() and len(steps) == 60
    diverged = compare_traces.curves_of(root, "diverges", tmp_path)
    steps = diverged["steps"][diverged["names"] == "loss"]
    assert 0 < len(steps) < 200
