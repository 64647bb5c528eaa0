"""A sweep as its user types it: kept, killed, resumed, extended, refused."""

import functools
import hashlib
import json
import re
import shutil
import signal

import numpy as np
import pytest

import gradjax
from gradjax import problems

DRAWN = ("--problem=ridge", "--optimizer=sgd", "--steps=200", "--batch_size=32")
QUICK = (*DRAWN, "--noplot")
RATES = "--sweep=learning_rate=log(1e-4, 100, 7)"


@pytest.fixture
def sweep(typed):
    """Runs `python -m experiments.minimize` with sweep flags in an empty folder."""

    def run(*flags, module="experiments.minimize", **environment):
        return typed(module, *flags, **environment)

    return run


@pytest.fixture(scope="module")
def whole(process, tmp_path_factory):
    """The folder of a sweep that a process ran without a fault."""
    folder = tmp_path_factory.mktemp("whole")
    done = process(folder, "experiments.minimize", *QUICK, RATES, "--workdir=whole")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return folder / "whole"


@pytest.fixture
def killed(process, tmp_path):
    """Runs the sweep as a process that ends itself at a fault point."""
    run = functools.partial(process, tmp_path, "experiments.minimize")

    def end(*flags, fault):
        done = run(*flags, GRADJAX_FAULT=fault)
        assert done.returncode == -signal.SIGKILL, (fault, done.stderr)

    return end


def digests(folder):
    """The digests of all segments and parameters."""
    paths = [*folder.glob("segments/*.npz"), *folder.glob("params/*.npz")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def test_sweeps_stores_and_does_not_run_again(sweep, tmp_path):
    first = sweep(*DRAWN, RATES, "--seeds=2", "--workdir=mine")
    assert first.returncode == 0, first.stderr
    assert "search: 14 trials in 1 program" in first.stdout
    found = summary_of(tmp_path / "mine")
    assert found["num_trials"] == 14 and found["num_diverged"] >= 4
    (one,) = found["optimizers"].values()
    rate = one["best"]["learning_rate"]
    assert 1e-3 < rate < 1.0, "2 / L is 0.48: too small and too large are not the best"
    assert len(one["fresh"]["seeds"]) == 3 and min(one["fresh"]["seeds"]) >= 2**31
    assert (tmp_path / "mine" / "sensitivity.png").read_bytes()[:4] == b"\x89PNG"
    before = digests(tmp_path / "mine")

    second = sweep(*QUICK, RATES, "--seeds=2", "--workdir=mine")
    assert second.returncode == 0, second.stderr
    assert "is finished already; --overwrite trains again" in second.stdout
    assert digests(tmp_path / "mine") == before
    assert summary_of(tmp_path / "mine") == found

    (tmp_path / "mine" / "summary.json").unlink()
    third = sweep(*QUICK, RATES, "--seeds=2", "--workdir=mine")
    assert third.returncode == 0, third.stderr
    assert digests(tmp_path / "mine") == before
    again = summary_of(tmp_path / "mine")
    assert again["compile_s"] == 0.0 and again["optimizers"] == found["optimizers"]

    table = sweep("--workdir=mine", "table", module="scripts.sweep")
    assert table.returncode == 0 and re.search(r"sgd +7 +learning rate", table.stdout)
    sound = sweep("--workdir=mine", "verify", module="scripts.sweep")
    assert sound.returncode == 0, sound.stdout
    status = sweep("--workdir=mine", "status", module="scripts.sweep")
    assert status.returncode == 0 and "segments" in status.stdout
    check_frames(tmp_path / "mine", found)


def check_frames(folder, summary):
    trials, curves = gradjax.frames(folder)
    searched = trials[trials["round"] == "search"]
    assert len(searched) == 14 and len(trials) == 17
    assert (searched.status == "diverged").sum() == summary["num_diverged"]
    (one,) = summary["optimizers"].values()
    best = searched[searched.learning_rate == one["best"]["learning_rate"]]
    assert sorted(best.seed) == [0, 1] and (best.status == "finished").all()
    np.testing.assert_allclose(
        best.validation_loss, one["searched"]["validation_loss"]["values"]
    )
    assert best.test_loss.notna().all() and (best.steps == 200).all()
    first = curves[curves.trial == best.trial.iloc[0]]
    assert (first[first.name == "loss"].step == np.arange(1, 201)).all()
    assert first[first.name == "validation_loss"].step.iloc[-1] == 200
    dead = searched[searched.status == "diverged"].iloc[-1]
    assert curves[curves.trial == dead.trial].step.max() <= dead.diverged_step


@pytest.mark.slow
def test_a_long_sweep_goes_in_cohorts_and_its_curves_are_thinned(sweep, tmp_path):
    rates = "--sweep=learning_rate=log(1e-4, 0.1, 70)"
    flags = (*QUICK, rates, "--lane_width=1", "--fresh_seeds=0", "--trace_every=7")
    assert sweep(*flags, "--workdir=mine").returncode == 0
    names = [path.name for path in (tmp_path / "mine" / "segments").iterdir()]
    assert {name.split("-")[3] for name in names} == {"0000", "0001"}
    trials, curves = gradjax.frames(tmp_path / "mine")
    assert len(trials) == 70 and (trials.status == "finished").all()
    thin = curves[(curves.trial == trials.trial[69]) & (curves.name == "loss")]
    whole = (*flags[:-1], "--trace_every=1", "--workdir=whole")
    assert sweep(*whole).returncode == 0
    every, all_curves = gradjax.frames(tmp_path / "whole")
    full = all_curves[all_curves.trial == every.trial[69]]
    full = full[full.name == "loss"].value.to_numpy()
    assert len(full) == 200 and thin.step.iloc[-1] == 200
    starts = [0, *thin.step[:-1]]
    means = [full[a:b].mean() for a, b in zip(starts, thin.step, strict=True)]
    np.testing.assert_allclose(thin.value, means, rtol=1e-6)


@pytest.mark.slow
def test_trials_that_end_the_process_are_set_aside_and_the_rest_goes_on(
    killed, sweep, tmp_path
):
    flags = (*QUICK, "--sweep=learning_rate=log(1e-3, 0.1, 3)", "--lane_width=1")
    assert sweep(*flags, "--workdir=whole").returncode == 0
    for _ in range(2):  # without a snapshot, the first segment is computed again
        begun = 1 if any(tmp_path.glob("mine/snapshots/*")) else 2
        killed(*flags, "--workdir=mine", fault=f"segment:begun:{begun}:kill")
    for _ in range(2):
        killed(*flags, "--workdir=mine", fault="call:begun:2:kill")
    last = sweep(*flags, "--workdir=mine")
    assert last.returncode == 3, last.stderr
    assert "set aside" in last.stdout
    found = summary_of(tmp_path / "mine")
    assert found["num_set_aside"] == 1 and found["num_diverged"] == 0
    trials, _ = gradjax.frames(tmp_path / "mine")
    search = trials[trials["round"] == "search"]
    assert list(search.status) == ["finished", "set aside", "finished"]
    whole, _ = gradjax.frames(tmp_path / "whole")
    for row in (0, 2):
        assert search.test_loss[row] == whole.test_loss[row]


@pytest.mark.parametrize(
    "fault",
    [
        "commit:before:2:kill",
        "commit:after_rename:3:kill",
        "commit:before_journal:4:kill",
        "commit:after_journal:5:kill",
    ],
)
@pytest.mark.slow
def test_killed_anywhere_and_resumed_it_is_bitwise_the_same(
    fault, killed, sweep, whole, tmp_path
):
    flags = (*QUICK, RATES, "--workdir=mine")
    killed(*flags, fault=fault)
    resumed = sweep(*flags)
    assert resumed.returncode == 0, resumed.stderr
    assert digests(tmp_path / "mine") == digests(whole)
    optimizers = [summary_of(one)["optimizers"] for one in (tmp_path / "mine", whole)]
    assert optimizers[0] == optimizers[1]


@pytest.mark.slow
def test_more_seeds_run_only_the_new(sweep, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "mine")
    before = digests(tmp_path / "mine")
    more = sweep(*QUICK, RATES, "--seeds=2", "--workdir=mine")
    assert more.returncode == 0, more.stderr
    assert "search, round 2: 7 trials" in more.stdout
    after = digests(tmp_path / "mine")
    assert {name: after[name] for name in before} == before
    (one,) = summary_of(tmp_path / "mine")["optimizers"].values()
    assert one["searched"]["seeds"] == [0, 1]


@pytest.mark.slow
def test_optimizers_and_batch_sizes_are_programs_of_their_own(sweep, tmp_path):
    flags = (
        *QUICK,
        "--sweep=optimizer=[sgd, 'adam(b2=0.95)']",
        "--sweep=batch_size=[16, 64]",
        "--sweep=learning_rate=[0.01, 0.1]",
    )
    done = sweep(*flags, "--workdir=mine", "--fresh_seeds=2")
    assert done.returncode == 0, done.stderr
    assert "8 trials in 4 programs" in done.stdout
    found = summary_of(tmp_path / "mine")
    assert set(found["optimizers"]) == {"sgd", "adam(b2=0.95)"}
    assert found["num_programs"] == 4


@pytest.mark.slow
def test_halving_stops_the_worse_and_leaves_the_bits_of_the_rest(sweep, tmp_path):
    assert sweep(*QUICK, RATES, "--seeds=2", "--workdir=whole").returncode == 0
    halved = sweep(*QUICK, RATES, "--seeds=2", "--halving=2", "--workdir=halved")
    assert halved.returncode == 0, halved.stderr
    one, other = (summary_of(tmp_path / name) for name in ("whole", "halved"))
    assert other["num_stopped"] > 0
    assert one["optimizers"]["sgd"]["best"] == other["optimizers"]["sgd"]["best"]
    assert one["optimizers"]["sgd"]["fresh"] == other["optimizers"]["sgd"]["fresh"]
    best = [o["optimizers"]["sgd"]["searched"]["validation_loss"] for o in (one, other)]
    assert best[0] == best[1]


REFUSED = {
    "--sweep=learning_rat=log(1e-4, 1)": "'learning_rate'",
    "--sweep=learning_rate=log(0, 1)": "above 0",
    "--sweep=optimizer=[sgd, adma]": "'adam'",
    "--sweep=optimizer=log(1, 2)": "list",
    "--sweep=optimizer.b9=[0.1]": "b9",
    "--search=haltn": "'halton'",
    "--search=halton": "--trials=N",
    "--trials=0": "at least 1",
    "--halving=1": "at least 2",
    "--lane_width=0": "lane_width=0",
    "--space=/no/such/file.json": "/no/such/file.json",
}


@pytest.mark.parametrize("flag", REFUSED)
def test_refuses_in_one_line_and_writes_nothing(flag, sweep, tmp_path):
    given = [] if flag.startswith(("--sweep=learning_rat", "--space")) else [RATES]
    done = sweep(*QUICK, *given, flag)
    assert done.returncode == 2, done.stdout
    assert REFUSED[flag] in done.stderr and done.stderr.count("\n") == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_another_sweep_in_the_same_folder_is_refused(sweep, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "mine")
    done = sweep(*QUICK, "--sweep=learning_rate=[0.1]", "--workdir=mine")
    assert done.returncode == 2
    assert "space" in done.stderr and done.stderr.count("\n") == 1


def test_the_script_names_what_is_missing(sweep):
    for flags, line in (
        (("--sweep=learning_rate=[0.1]",), "--experiment=mnist"),
        (("--experiment=mnist",), "--sweep="),
        (("--experiment=mnits", RATES), "'mnist'"),
        (("--experiment=descent", RATES), "lesson"),
        (("--workdir=nowhere", "status"), "not a folder"),
        (("--workdir=nowhere", "stats"), "'status'"),
    ):
        done = sweep(*flags, module="scripts.sweep")
        assert done.returncode == 2
        assert line in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_swept_trial_has_the_bits_of_a_single_run(sweep, tmp_path):
    done = sweep(
        *QUICK, "--sweep=learning_rate=[0.01, 0.1]", "--workdir=mine", "--lane_width=1"
    )
    assert done.returncode == 0, done.stderr
    program = gradjax.program(
        problems.make("ridge"), "sgd", num_steps=200, batch_size=32, eval_every=20
    )
    single = gradjax.run(program, {"learning_rate": 0.1}, 0)
    paths = sorted((tmp_path / "mine" / "segments").glob("search-*.npz"))
    found = np.concatenate([np.load(path)["trace/loss"][1] for path in paths])
    np.testing.assert_array_equal(found, single.trace["loss"].values)
