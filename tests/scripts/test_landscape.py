"""The loss around finished runs and between two, drawn by a command."""

import re

import jax
import numpy as np
import pytest

import gradjax
from gradjax import problems
from scripts import landscape as script
from scripts.replay import recorded

RATES = "--sweep=learning_rate=[0.05, 0.5]"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, process):
    """A folder with a run `a` of logistic regression, and a sweep `b` of one more."""
    folder = tmp_path_factory.mktemp("landscape")
    common = ("--problem=digits_logistic", "--steps=30", "--noplot")
    for name, more in (
        ("a", ["--seed=1"]),
        ("b", [RATES, "--fresh_seeds=0", "--keep_params=all"]),
        ("c", [RATES, "--fresh_seeds=0", "--keep_params=none"]),
    ):
        flags = (*common, f"--workdir={folder / name}", *more)
        ended = process(folder, "experiments.minimize", *flags)
        assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture
def drawn(trained, monkeypatch, capsys):
    """Runs the command in the folder; returns what it printed."""

    def run(*flags, code=0):
        monkeypatch.chdir(trained)
        assert script.main([*map(str, flags)]) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return run


def loss_of(trained, name, trial):
    """The loss of evaluations at the trained parameters on 500 examples."""
    run = gradjax.load(trained / name, trial)
    problem = problems.make("digits_logistic")
    train = problem.data.train
    batch = train.take(train.arrays, np.arange(500, dtype=np.uint32))
    total, count = problem.metrics(run.params, batch, jax.random.key(0))["loss"]
    return float(total / count)


def numbers(said, what):
    (line,) = [one for one in said.splitlines() if what in one]
    return [float(one) for one in re.findall(r"\d+\.?\d*(?:e-\d+)?", line)]


@pytest.mark.slow
def test_a_path_is_drawn_that_ends_at_the_trained_parameters(drawn, trained):
    said = drawn("a", "--examples=500", "--grid=9", "--states=7")
    assert "the path of 30 steps, 7 points" in said
    first, last = (numbers(said, f"{which} loss")[0] for which in ("first", "last"))
    assert last == pytest.approx(loss_of(trained, "a", None), rel=1e-3)
    assert numbers(said, "in the plane")[0] > 80
    low, high = numbers(said, "losses drawn")
    assert low <= last < first <= high
    assert (trained / "landscape.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_random_directions_begin_at_the_trained_parameters(drawn, trained):
    said = drawn("b", "--trial=1", "--around=point", "--examples=500", "--grid=5")
    there = numbers(said, "loss there")[0]
    assert there == pytest.approx(loss_of(trained, "b", 1), rel=1e-3)
    low, high = numbers(said, "losses drawn")
    assert low <= there < high


@pytest.mark.slow
def test_a_convex_loss_has_no_barrier_between_two_runs(drawn, trained):
    said = drawn("a", "b", "--other_trial=0", "--examples=500", "--out=line.png")
    ends = numbers(said, "losses at the ends")
    wanted = [loss_of(trained, "a", None), loss_of(trained, "b", 0)]
    assert ends == pytest.approx(wanted, rel=1e-3)
    assert numbers(said, "barrier")[0] == pytest.approx(0.0, abs=1e-6)
    assert (trained / "line.png").is_file()
    one = drawn("b", "--trial=0", "--other_trial=1", "--examples=500")
    assert numbers(one, "barrier")[0] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.slow
def test_what_cannot_be_drawn_is_refused_in_one_line(drawn, trained):
    for flags, words in (
        (["nope"], "no run or sweep"),
        (["a", "b", "--around=point"], "leave out OTHER"),
        (["c", "--trial=0", "--around=point"], "are not stored; --keep_params=all"),
        (["a", "--trial=7"], "trial=7, but it has 1 trials"),
    ):
        said = drawn(*flags, code=2)
        assert words in said and said.count("\n") == 1, said
    assert recorded(trained / "a", None).trial.seed == 1
