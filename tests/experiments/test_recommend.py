"""The command on a CSV file of its user's own, and on MovieLens where it is."""

import json

import numpy as np
import pytest

import gradjax
from experiments import recommend
from gradjax.commands import experiment
from gradjax.commands.experiment import settings_of
from gradjax.types import Options, Sweep


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Ratings of rank 1 by 30 users of 25 films, the last ten users arriving late."""
    rng = np.random.default_rng(0)
    p, q = rng.normal(size=30), rng.normal(size=25)
    lines = ["user,item,rating,time,title"]
    for k in range(600):
        user = rng.integers(0, 20 if k < 480 else 30)
        item = rng.integers(0, 25)
        rating = np.clip(3.0 + p[user] * q[item], 0.5, 5.0)
        lines.append(f'u{user},i{item},{rating:.2f},{k},"Film, the {item}th (1999)"')
    path = tmp_path_factory.mktemp("data") / "mine.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def command(typed, table):
    """Runs `python -m experiments.recommend` on the table, in an empty folder."""

    def run(*given, dataset=table):
        words = [f"--dataset={dataset}", "--batch_size=32", *given]
        return typed("experiments.recommend", *words)

    return run


def only_run(folder):
    (found,) = (folder / "runs" / "recommend").iterdir()
    return found


def test_trains_reports_and_recommends(command, tmp_path):
    done = command("--steps=40", "--user=u3", "--list_length=4")
    assert (done.returncode, done.stderr) == (0, "")
    assert "share of new users" in done.stdout
    lines = done.stdout.splitlines()
    place = next(k for k, x in enumerate(lines) if x.startswith("recommended to user"))
    assert "user u3, who rated" in lines[place]
    assert all("Film, the " in line for line in lines[place + 1 : place + 5])
    summary = json.loads((only_run(tmp_path) / "summary.json").read_text())
    for name in ("rmse", "bias_baseline_rmse", "recall@4", "ndcg@4"):
        assert np.isfinite(summary[name]) and summary[name] >= 0
    squared = summary["test_squared_error"]
    assert summary["rmse"] == pytest.approx(np.sqrt(squared), rel=1e-5)
    run = gradjax.load(only_run(tmp_path))
    assert run.params["user"]["vector"].shape == (30, 32)


@pytest.mark.slow
def test_learns_on_and_draws_it(command, tmp_path):
    done = command("--online", "--steps=40", "--online_chunk=2")
    assert (done.returncode, done.stderr) == (0, "")
    folder = only_run(tmp_path)
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")
    run = gradjax.load(folder)
    for name in ("online", "frozen"):
        curve = run.trace[f"{name}_rmse"]
        assert curve.values.shape == (1, 120)
        last = run.summary[f"later_{name}_rmse"]
        assert curve.values[0, -1] == pytest.approx(last, rel=1e-5)
    assert run.summary["share_of_new_users"] > 0.2
    assert run.summary["test_online_rmse"] != run.summary["test_frozen_rmse"]
    again = command("--online", "--steps=40", "--online_chunk=2")
    assert "is finished already" in again.stdout


@pytest.mark.slow
def test_sweeps_with_lanes(command):
    done = command("--steps=6", "--sweep=learning_rate=[0.01, 0.03]", "--fresh_seeds=1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "best learning rate" in done.stdout


REFUSED = {
    "--split=tme": "'random' or 'time'",
    "--split=random": "--online needs --split=time",
    "--split_index=-1": "split_index=-1",
    "--model=factorisaton": "'factorisation'",
    "--dataset=movielens/none": "not prepared",
    "--dataset=none.csv": "'none.csv': No such file",
    "--list_length=0": "list_length=0",
    "--list_length=26": "from 1 to 25",
    "--online_chunk=0": "--online_chunk=0",
    "--online_learning_rate=-1": "--online_learning_rate",
    "--online_optimizer=sdg": "'sgd'",
    "--seeds=2": "--online runs one seed",
    "--sweep=learning_rate=[0.01]": "--online is a lesson",
}


@pytest.mark.parametrize("flag", REFUSED)
def test_refuses_in_one_line_and_writes_nothing(
    flag, table, tmp_path, refused, monkeypatch
):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    given = [f"--dataset={table}", "--steps=2", flag]
    if flag != "--split=tme":  # refused by every run, and here by the plain one
        given.append("--online")
    said = refused(recommend.EXPERIMENT, *given, train=recommend.train_or_replay)
    assert REFUSED[flag] in said


@pytest.mark.slow
def test_plain_adam_has_its_usual_rate_and_nothing_else(table):
    for changes, rate in (
        ({}, 0.01),
        ({"optimizer": "sgd"}, 0.1),
        ({"optimizer": "adam(learning_rate=0.5)"}, None),
    ):
        given = settings_of(
            recommend.EXPERIMENT, dataset=str(table), batch_size=32, steps=2, **changes
        )
        program = experiment.program_of(
            recommend.EXPERIMENT, recommend.problem(given), given
        )
        assert program.hparams.get("learning_rate") == rate


@pytest.mark.slow
@pytest.mark.optimized
def test_movielens_reaches_its_targets(data_dir, tmp_path):
    """The two claims of the experiment's header."""
    known = {"data_dir": str(data_dir)}
    options = Options(workdir=str(tmp_path / "random"))
    recommend.train_or_replay(
        recommend.EXPERIMENT,
        settings_of(recommend.EXPERIMENT, **known),
        Sweep(),
        options,
    )
    summary = gradjax.load(tmp_path / "random").summary
    assert summary["rmse"] <= 0.855
    assert summary["rmse"] <= summary["bias_baseline_rmse"] - 0.01
    recommend.train_or_replay(
        recommend.EXPERIMENT,
        settings_of(recommend.EXPERIMENT, **known, online=True),
        Sweep(),
        Options(workdir=str(tmp_path / "online")),
    )
    summary = gradjax.load(tmp_path / "online").summary
    assert summary["test_online_rmse"] <= 0.81
    assert summary["test_online_rmse"] <= summary["test_frozen_rmse"] - 0.15
