"""A run and each trial of a sweep open from their folder, and damage is named."""

import json

import numpy as np
import pytest

import gradjax
from experiments import minimize, mnist
from gradjax import files, records
from gradjax.commands.experiment import settings_of
from gradjax.commands.train import train
from gradjax.data import digits as digits_data
from gradjax.errors import Refusal
from gradjax.records import plan
from gradjax.trials import devices
from gradjax.types import Options, Sweep

RATES = ("learning_rate=[0.001, 0.01, 0.1]",)
RIDGE = ("--problem=ridge", "--steps=5", "--noplot")
DIGITS = {"dataset": "digits", "model": "logistic", "steps": 20, "batch_size": 32}


def trained(what, folder, asked=None, **flags):
    options = Options(workdir=str(folder), plot=False)
    train(what, settings_of(what, **flags), asked or Sweep(), options)
    return folder


def digits(folder, **asked):
    asked = Sweep(sweep=RATES, fresh_seeds=0, **asked)
    return trained(mnist.EXPERIMENT, folder, asked, **DIGITS)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of three trials that keeps the parameters of all."""
    return digits(tmp_path_factory.mktemp("all") / "swept", keep_params="all")


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """A run with the settings of the first trial of `swept`."""
    folder = tmp_path_factory.mktemp("one") / "run"
    return trained(mnist.EXPERIMENT, folder, **DIGITS)


@pytest.fixture
def ridge(tmp_path):
    return trained(minimize.EXPERIMENT, tmp_path / "run", problem="ridge", steps=5)


@pytest.mark.slow
def test_every_trial_of_a_sweep_opens_by_its_row_and_by_its_id(swept):
    trials = gradjax.frames(swept).trials
    test = digits_data.load().test
    seen = []
    for row, name in enumerate(trials["trial"]):
        run = gradjax.load(swept, trial=row)
        again = gradjax.load(swept, trial=name)
        probabilities = run.predict(test["image"])
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
        np.testing.assert_array_equal(probabilities, again.predict(test["image"]))
        accuracy = (probabilities.argmax(axis=1) == test["label"]).mean()
        assert accuracy == pytest.approx(trials["test_accuracy"][row], abs=1e-6)
        seen.append(run.trace["loss"].values)
    assert len({tuple(values) for values in seen}) == 3


@pytest.mark.slow
def test_without_a_trial_the_best_one_opens(swept):
    run = gradjax.load(swept)
    best = gradjax.load(swept, trial=run.summary["trials"][0]["trial"])
    values = gradjax.frames(swept).trials["validation_accuracy"]
    assert run.summary["validation_accuracy"] == pytest.approx(values.max())
    np.testing.assert_array_equal(run.trace["loss"].values, best.trace["loss"].values)


@pytest.mark.slow
def test_a_run_opens_as_a_sweep_of_one_trial_does(single):
    (name,) = gradjax.frames(single).trials["trial"]
    runs = [gradjax.load(single, trial=trial) for trial in (None, 0, name)]
    images = np.full((2, 8, 8, 1), 7, np.uint8)
    for run in runs:
        assert (
            run.trace["loss"].values.tolist() == runs[0].trace["loss"].values.tolist()
        )
        assert run.params.keys() == runs[0].params.keys()
        assert (run.predict(images) == runs[0].predict(images)).all()
    with pytest.raises(Refusal, match="trial=1, but it has 1 trials: 0 to 0"):
        gradjax.load(single, trial=1)


@pytest.mark.parametrize("trial", [3, -1, "0" * 16])
@pytest.mark.slow
def test_a_trial_that_is_not_there_is_refused(swept, trial):
    with pytest.raises(Refusal, match="but it has 3 trials: 0 to 2"):
        gradjax.load(swept, trial=trial)


@pytest.mark.parametrize(("keep_params", "count"), [("best", 1), ("none", 0)])
@pytest.mark.slow
def test_a_sweep_keeps_the_parameters_that_it_is_asked_for(
    keep_params, count, tmp_path
):
    folder = digits(tmp_path / "swept", keep_params=keep_params)
    runs = [gradjax.load(folder, trial=row) for row in range(3)]
    assert [run.params is not None for run in runs].count(True) == count
    assert (gradjax.load(folder).params is not None) == bool(count)
    assert (gradjax.load(folder).predict is not None) == bool(count)


@pytest.mark.slow
def test_a_run_keeps_no_parameters_if_none_are_asked_for(tmp_path):
    asked = Sweep(keep_params="none")
    flags = {"problem": "ridge", "steps": 5}
    run = gradjax.load(trained(minimize.EXPERIMENT, tmp_path / "run", asked, **flags))
    assert run.params is None and run.trace["loss"].values.size == 5
    with pytest.raises(Refusal, match="expected best, all, none"):
        asked = Sweep(keep_params="some")
        trained(minimize.EXPERIMENT, tmp_path / "other", asked, **flags)
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_frames_have_the_same_columns_for_a_run_and_a_sweep(swept, single):
    run, sweep = gradjax.frames(single), gradjax.frames(swept)
    assert set(run.trials.columns) == set(sweep.trials.columns)
    assert set(run.curves["name"]) == set(sweep.curves["name"])
    assert run.trials["learning_rate"].tolist() == [1e-3]
    same = sweep.trials["learning_rate"] == 1e-3
    assert run.trials["test_loss"][0] == pytest.approx(
        sweep.trials["test_loss"][same].item(), rel=1e-4
    )


@pytest.mark.slow
def test_a_missing_or_damaged_summary_is_named(ridge, tmp_path):
    with pytest.raises(Refusal, match="nothing"):
        gradjax.load(tmp_path / "nothing")
    (ridge / "summary.json").write_text("{")
    with pytest.raises(Refusal, match=r"summary\.json: damaged"):
        gradjax.load(ridge)
    (ridge / "summary.json").unlink()
    with pytest.raises(Refusal, match="no finished run"):
        gradjax.load(ridge)


def test_an_older_format_is_refused_in_one_line(ridge):
    content = json.loads((ridge / plan.PLAN).read_text())
    files.write_json(ridge / plan.PLAN, content | {"format": 1})
    for use in (gradjax.load, gradjax.frames):
        with pytest.raises(Refusal, match="has format 1") as refusal:
            use(ridge)
        assert "\n" not in str(refusal.value)


def test_a_run_from_before_there_were_plans_is_refused_in_one_line(typed, tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "params.npz").write_bytes(b"")
    for use in (gradjax.load, gradjax.frames):
        with pytest.raises(Refusal, match="a run of an older format") as refusal:
            use(folder)
        assert "\n" not in str(refusal.value)
    for flags in ((), ("--overwrite",)):
        ended = typed("experiments.minimize", *RIDGE, "--workdir=old", *flags)
        assert ended.returncode == 2
        assert "an older format (config.json, no plan.json)" in ended.stderr
        assert ended.stderr.count("\n") == 1
    assert len(list(folder.iterdir())) == 2


@pytest.mark.slow
def test_a_command_with_another_number_of_threads_is_refused(typed, tmp_path):
    flags = (*RIDGE, "--workdir=two")
    first = typed("experiments.minimize", *flags, "--num_threads=2")
    assert first.returncode == 0, first.stderr
    assert plan.read_plan(tmp_path / "two")["num_threads"] == 2
    other = typed("experiments.minimize", *flags, "--num_threads=3")
    assert other.returncode == 2
    assert "num_threads 2 there, 3 asked" in other.stderr
    assert other.stderr.count("\n") == 1
    again = typed("experiments.minimize", *flags)  # the stored number, not the rule's
    assert again.returncode == 0 and "is finished already" in again.stdout


@pytest.mark.slow
def test_a_script_with_another_number_of_threads_is_refused(ridge, monkeypatch):
    """A small network has the same bits with any number, and is not refused."""
    there = plan.read_plan(ridge)["num_threads"]
    monkeypatch.setenv("NPROC", str(there + 1))
    trained(minimize.EXPERIMENT, ridge, problem="ridge", steps=5)
    assert plan.read_plan(ridge)["num_threads"] == there
    monkeypatch.setattr(devices, "is_small", lambda _: False)
    with pytest.raises(Refusal) as refusal:
        trained(minimize.EXPERIMENT, ridge, problem="ridge", steps=5)
    said = f"num_threads {there} there, {there + 1} asked"
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_the_plan_says_threads_and_lane_width(ridge):
    said = plan.read_plan(ridge)
    assert said["num_threads"] >= 1
    assert said["lane_width"] == 1


def test_default_paths_are_readable_and_differ_with_the_digest():
    words = ["digits", "chain(clip(1.0), sgd)", "seed0"]
    path = records.default_path("mnist", "0123456789abcdef", words)
    assert path.parts[:2] == ("runs", "mnist")
    assert path.name == "digits-chain-clip-1.0-sgd-seed0-012345"


def test_numbers_that_json_has_no_word_for_become_null(tmp_path):
    files.write_json(tmp_path / "x.json", {"a": float("nan"), "b": [np.float32("inf")]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [None]}


def test_the_environment_names_versions_and_device():
    seen = records.environment()
    assert seen["versions"]["jax"] and seen["device"] and seen["python"]
