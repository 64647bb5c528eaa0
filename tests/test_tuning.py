"""`gradjax.tune`: the sweep of a command, from Python."""

import functools
import json
import signal
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import problems
from gradjax.records import contents

pandas = pytest.importorskip("pandas")
ROOT = Path(__file__).resolve().parents[1]
TUNED = {"num_steps": 20, "batch_size": 32, "num_fresh_seeds": 1, "lane_width": 2}
RATES = {"learning_rate": [0.01, 0.1, 1e30]}


@functools.cache
def ridge():
    return problems.make("ridge")


def heavy_ball(learning_rate, momentum=0.9):
    return optax.chain(optax.trace(momentum), optax.scale(-1.0 * learning_rate))


def equal(first, second):
    """Whether two frames are equal bit for bit."""
    for one, other in zip(first, second, strict=True):
        pandas.testing.assert_frame_equal(one, other, check_exact=True)
    return True


@pytest.fixture(scope="module")
def in_memory():
    return gradjax.tune(ridge(), "sgd", RATES, **TUNED)


@pytest.mark.slow
def test_the_best_setting_is_chosen_on_validation_and_trained_on_fresh_seeds(in_memory):
    best = in_memory.optimizers["sgd"]
    assert in_memory.metric == "validation_loss" and in_memory.optimizer == "sgd"
    assert [one["learning_rate"] for one in best.points] == RATES["learning_rate"]
    assert np.isnan(best.values[2]) and best.value == np.nanmin(best.values)
    assert best.point == best.points[int(np.nanargmin(best.values))]
    assert best.fresh["test_loss"].shape == (1,) and np.isfinite(best.value)
    trials, curves = gradjax.frames(in_memory)
    assert trials["round"].tolist() == ["search"] * 3 + ["fresh"]
    assert trials.status.tolist() == ["finished", "finished", "diverged", "finished"]
    (kept,) = trials[trials["round"] == "fresh"].validation_loss
    assert best.fresh["validation_loss"] == kept and len(curves)
    assert in_memory.params is not None and in_memory.workdir is None
    for shown in (repr(in_memory), repr(best)):
        assert len(shown) < 300 and "\n" not in shown and "array" not in shown


def test_a_stored_sweep_is_that_in_memory_and_goes_on_after_an_interruption(
    in_memory, tmp_path, interrupted
):
    tune = functools.partial(gradjax.tune, ridge(), "sgd", RATES, workdir=tmp_path)
    with interrupted(3):
        tune(**TUNED)
    assert (gradjax.frames(tmp_path).trials.status == "unfinished").any()
    stored = tune(**TUNED)
    assert stored.workdir == tmp_path and repr(stored.optimizers) == repr(
        in_memory.optimizers
    )
    assert equal(gradjax.frames(stored), gradjax.frames(in_memory))
    assert equal(gradjax.frames(stored), gradjax.frames(tmp_path))
    assert gradjax.load(tmp_path).summary["optimizers"].keys() == {"sgd"}
    journal = (tmp_path / "journal.jsonl").read_text()
    again = tune(**TUNED)
    assert equal(gradjax.frames(again), gradjax.frames(stored))
    assert (tmp_path / "journal.jsonl").read_text() == journal
    more = tune(**TUNED | {"num_fresh_seeds": 2})
    assert len(more.rows) == 5
    assert equal([gradjax.frames(more).trials[:4]], [gradjax.frames(stored).trials])


def test_a_command_and_a_call_train_the_same_trials(in_memory, typed, tmp_path):
    done = typed(
        "experiments.minimize",
        *("--problem=ridge", "--optimizer=sgd", "--steps=20", "--batch_size=32"),
        *("--sweep=learning_rate=[0.01, 0.1, 1e30]", "--fresh_seeds=1", "--noplot"),
        *("--lane_width=2", "--workdir=command"),
    )
    assert done.returncode == 0, done.stderr
    trials, curves = gradjax.frames(tmp_path / "command")
    ours, own_curves = gradjax.frames(in_memory)
    others = ["trial", "group"]
    assert equal([trials.drop(columns=others)], [ours.drop(columns=others)])
    dropped = [one.drop(columns="trial") for one in (curves, own_curves)]
    order = ["name", "step", "value"]
    assert equal(*([one.sort_values(order, ignore_index=True)] for one in dropped))
    summary = json.loads((tmp_path / "command" / "summary.json").read_text())
    assert summary["optimizers"]["sgd"]["best"] == in_memory.optimizers["sgd"].point


@pytest.mark.slow
def test_own_functions_have_spaces_of_their_own_beside_others():
    def local(learning_rate, momentum=0.9):
        return heavy_ball(learning_rate, momentum)

    space = {
        "learning_rate": [0.1],
        "local.momentum": [0.0, 0.9],
        "sgd.momentum": [0.9],
    }
    tuned = gradjax.tune(ridge(), [local, optax.sgd], space, **TUNED)
    own, bundled = tuned.optimizers["given:local"], tuned.optimizers["sgd"]
    assert [one["local.momentum"] for one in own.points] == [0.0, 0.9]
    assert own.values[1] == pytest.approx(bundled.values[0], rel=1e-5)
    assert own.values[0] != own.values[1]


def test_halving_stops_the_worse_settings():
    space = {"learning_rate": [0.001, 0.01, 0.03, 0.1]}
    tuned = gradjax.tune(ridge(), "sgd", space, halving=2, **TUNED)
    status = gradjax.frames(tuned).trials.status.tolist()
    assert status.count("stopped") == 3 and status[-2:] == ["finished", "finished"]
    assert np.isnan(tuned.optimizers["sgd"].values).sum() == 3


X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)


def problem_of(scale, x=X):
    def loss(params, batch, _key):
        return scale * jnp.mean((batch["x"] @ params["w"] - 1.0) ** 2), {}

    return gradjax.problem(loss, {"w": jnp.zeros(3)}, {"x": x})


@pytest.mark.parametrize(
    ("problem", "optimizer", "said"),
    [
        (lambda: problem_of(2.0), "sgd", "values.problem.loss"),
        (lambda: problem_of(1.0, X + 1), "sgd", "values.problem.data"),
        (lambda: problem_of(1.0)._replace(loss=other_loss), "sgd", "problem.loss"),
        (lambda: problem_of(1.0), "adam", "settings.optimizer"),
    ],
)
@pytest.mark.slow
def test_another_problem_is_refused(problem, optimizer, said, stored_sweep):
    with pytest.raises(gradjax.Refusal, match=said) as caught:
        tune_own(problem(), optimizer, workdir=stored_sweep)
    assert "\n" not in str(caught.value) and "--" not in str(caught.value)


def other_loss(params, batch, _key):
    return jnp.mean((batch["x"] @ params["w"]) ** 2), {}


def tune_own(problem, optimizer="sgd", **more):
    kept = {"num_steps": 4, "num_fresh_seeds": 0, "lane_width": 1}
    return gradjax.tune(problem, optimizer, {"learning_rate": [0.1]}, **kept, **more)


@pytest.fixture(scope="module")
def stored_sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored") / "own"
    tune_own(problem_of(1.0), workdir=folder)
    tune_own(problem_of(1.0), workdir=folder)
    return folder


def test_what_cannot_be_compared_is_refused_only_where_it_is_stored(tmp_path):
    random = np.random.default_rng(0)

    def loss(params, batch, _key):
        return random.uniform() * jnp.mean((batch["x"] @ params["w"]) ** 2), {}

    own = gradjax.problem(loss, {"w": jnp.zeros(3)}, {"x": X})
    assert tune_own(own).workdir is None
    with pytest.raises(gradjax.Refusal, match=r"problem\.loss.*random is a Generator"):
        tune_own(own, workdir=tmp_path / "own")
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize(
    ("optimizers", "space", "more", "said"),
    [
        ("sgd", {}, {}, "space is empty: gradjax.run"),
        ("sgd", {"momentun": [1]}, {}, "space: unknown name 'momentun'"),
        ("sgd", {"optimizer": ["adam"]}, {}, "optimizer is given by optimizers="),
        (["sgd", optax.sgd], RATES, {}, "optimizers: sgd is given twice"),
        ("sgd", {"learning_rate": 0.1}, {}, "expected a list, or log"),
        ("sgd", {"learning_rate": [jnp.sin]}, {}, "neither a number nor a word"),
        ("sgd", RATES, {"num_trials": 0}, "num_trials=0: must be a whole number"),
        ("sgd", RATES, {"search": "halton"}, "with num_trials=N"),
        ("sgd", RATES, {"num_steps": 1.5}, "num_steps=1.5"),
        ([], RATES, {}, "optimizers is empty"),
        (3, RATES, {}, "optimizer 3: expected an expression or a function"),
    ],
)
def test_a_call_that_cannot_be_done_is_refused(optimizers, space, more, said):
    with pytest.raises(gradjax.Refusal, match=said) as caught:
        gradjax.tune(ridge(), optimizers, space, **TUNED | more)
    assert "--" not in str(caught.value)


def test_contents_are_those_of_code_values_and_captures():
    def made(scale, power):
        return lambda x: scale * x**power

    def digest(value):
        return contents.digest(value, "it")[:2]

    assert digest(made(2.0, 1)) == digest(made(2.0, 1))
    assert digest(made(2.0, 1))[0] == digest(made(3.0, 1))[0]
    assert digest(made(2.0, 1))[1] != digest(made(3.0, 1))[1]
    assert digest(lambda x: x + 1)[0] != digest(lambda x: x - 1)[0]
    assert digest({"a": X}) != digest({"a": X[::-1]}) != digest({"b": X})
    assert digest(np.float32(1)) != digest(np.float64(1))


SCRIPT = """
import gradjax, optax

def ball(learning_rate, momentum=0.9):
    return optax.sgd(learning_rate, momentum)

tuned = gradjax.tune(
    gradjax.problems.make("ridge"), [ball, "adam"], {"learning_rate": [0.01, 0.1]},
    num_steps=200, batch_size=32, num_fresh_seeds=1, workdir="sweep",
)
"""


@pytest.mark.slow
def test_a_killed_script_goes_on_and_an_edited_one_is_refused(process, tmp_path):
    run = functools.partial(process, tmp_path, "mine")
    (tmp_path / "mine.py").write_text(SCRIPT)
    fault = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    killed = run(GRADJAX_FAULT="segment:begun:3:kill", **fault)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = run(**fault)
    assert done.returncode == 0, done.stderr
    frames = gradjax.frames(tmp_path / "sweep")
    assert (frames.trials.status == "finished").all()
    (tmp_path / "sweep").rename(tmp_path / "resumed")
    assert run(**fault).returncode == 0
    assert equal(
        gradjax.frames(tmp_path / "resumed"), gradjax.frames(tmp_path / "sweep")
    )
    (tmp_path / "mine.py").write_text(SCRIPT.replace("0.9):", "0.8):"))
    edited = run(**fault)
    assert "values.given:ball" in edited.stderr
