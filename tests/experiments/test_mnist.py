"""The command as its user types it: what it prints, stores, refuses."""

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import gradjax
from experiments import mnist
from gradjax import optimizers, schedules
from gradjax.commands.experiment import groups_of
from gradjax.data import digits

ROOT = Path(__file__).resolve().parents[2]
DRAWN = ("--dataset=digits", "--epochs=2")
QUICK = (*DRAWN, "--noplot")
SLOW = pytest.mark.slow
HEARD = "finishing this segment; a second signal stops at once"


@pytest.fixture
def command(typed):
    """Runs `python -m experiments.mnist` in an empty folder, without a terminal."""
    return functools.partial(typed, "experiments.mnist")


@pytest.fixture(scope="module")
def first(process, tmp_path_factory):
    """The folder in which a process has run the quick command, and how it ended."""
    folder = tmp_path_factory.mktemp("first")
    return folder, process(folder, "experiments.mnist", *DRAWN)


@contextlib.contextmanager
def training(folder, *flags, **more):
    """The command, as a process that has begun to train."""
    kept = {k: v for k, v in os.environ.items() if k != "TFDS_DATA_DIR"}
    with subprocess.Popen(
        [sys.executable, "-m", "experiments.mnist", *flags],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT)} | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        for line in started.stdout:
            if "epoch" in line:
                break
        yield started


def only_run(folder):
    (found,) = (folder / "runs" / "mnist").iterdir()
    return found


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def computed(folder):
    """The stored arrays of all trials, byte for byte."""
    parts = [*folder.glob("segments/*.npz"), *folder.glob("params/*.npz")]
    assert len(parts) >= 2
    return {path.name: path.read_bytes() for path in parts}


UNFINISHED = [".lock", "journal.jsonl", "kept_snapshots", "params", "plan.json"]
UNFINISHED += ["segments", "snapshots", "states"]
FINISHED = sorted([*UNFINISHED, "curves.png", "summary.json"])


def test_trains_stores_and_does_not_train_again(first, command, tmp_path):
    place, done = first
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert done.stdout.startswith("digits (scikit-learn")
    shutil.copytree(place / "runs", tmp_path / "runs")
    folder = only_run(tmp_path)
    assert names_in(folder) == FINISHED
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    results = computed(folder)

    second = command(*QUICK)
    assert second.returncode == 0, second.stderr
    assert "is finished already; --overwrite trains again" in second.stdout
    assert "test accuracy" in second.stdout
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {**after, folder / ".lock": b""} == {**before, folder / ".lock": b""}

    third = command(*QUICK, "--overwrite", "--noplot")
    assert third.returncode == 0, third.stderr
    assert names_in(folder) == [name for name in FINISHED if name != "curves.png"]
    assert computed(folder) == results, "not the same bits"


@pytest.mark.slow
def test_what_is_stored_says_what_ran(command, tmp_path):
    flags = ("--optimizer=adamw(b2=0.95)", "--schedule=cosine", "--seeds=3")
    assert command(*QUICK, *flags, "--batch_size=50").returncode == 0
    run = gradjax.load(only_run(tmp_path))
    assert run.config["settings"]["own"]["dataset"] == run.summary["dataset"]
    assert run.summary["dataset"] == "digits"
    assert run.config["environment"]["versions"]["jax"]
    assert run.summary["steps"] == 2 * 26, "1,257 examples are 26 batches of 50"
    assert run.summary["seeds"] == [0, 1, 2]
    assert run.trace["loss"].values.shape == (52,)
    assert run.trace["validation_loss"].steps.tolist() == [26, 52]
    rows = gradjax.frames(only_run(tmp_path)).trials
    assert list(rows.seed) == [0, 1, 2] and (rows.status == "finished").all()
    for name, value in (
        ("learning_rate", 1e-3),
        ("optimizer.b2", 0.95),
        ("schedule.end", 0.0),
    ):
        np.testing.assert_allclose(rows[name], value, rtol=1e-6)
    figures = [trial["test_accuracy"] for trial in run.summary["trials"]]
    assert list(rows.test_accuracy) == figures
    spread = run.summary["intervals"]["test_accuracy"]
    assert spread["mean"] == pytest.approx(np.mean(figures))
    half = 4.302652729 * np.std(figures, ddof=1) / np.sqrt(3)  # t(2) at 0.975
    assert spread["high"] - spread["mean"] == pytest.approx(half)


def same_trial(one, other):
    """Whether two loaded trials have the same curves and parameters, bit for bit."""
    assert one.trace.keys() == other.trace.keys() and "loss" in one.trace
    for name, series in one.trace.items():
        np.testing.assert_array_equal(series.steps, other.trace[name].steps)
        np.testing.assert_array_equal(series.values, other.trace[name].values)
    jax.tree.map(np.testing.assert_array_equal, one.params, other.params)


@pytest.mark.slow
def test_each_of_several_seeds_has_the_bits_of_a_run_of_its_own(
    first, command, tmp_path
):
    assert command(*QUICK, "--seeds=3", "--workdir=three").returncode == 0
    several = [gradjax.load(tmp_path / "three", trial=k) for k in range(3)]
    assert (several[0].trace["loss"].values != several[1].trace["loss"].values).any()
    same_trial(several[0], gradjax.load(only_run(first[0])))
    for seed in (1, 2):
        alone = f"--workdir=alone-{seed}"
        assert command(*QUICK, f"--seed={seed}", alone).returncode == 0
        same_trial(several[seed], gradjax.load(tmp_path / f"alone-{seed}"))


@pytest.mark.slow
def test_more_seeds_run_only_the_new(first, command, tmp_path):
    shutil.copytree(only_run(first[0]), tmp_path / "mine")
    before = computed(tmp_path / "mine")
    done = command(*QUICK, "--workdir=mine", "--seeds=2")
    assert done.returncode == 0, done.stderr
    after = computed(tmp_path / "mine")
    assert len(after) == 2 * len(before)
    assert {name: after[name] for name in before} == before
    assert gradjax.load(tmp_path / "mine").summary["seeds"] == [0, 1]


def test_loaded_parameters_predict_what_the_summary_says(command, tmp_path):
    assert command(*QUICK, "--seeds=2").returncode == 0
    test = digits.load().test
    for trial in (0, 1):
        run = gradjax.load(only_run(tmp_path), trial)
        probabilities = np.asarray(run.predict(test["image"]))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
        accuracy = (probabilities.argmax(axis=1) == test["label"]).mean()
        stored = run.summary["trials"][trial]["test_accuracy"]
        assert accuracy == pytest.approx(stored, abs=1e-6)


@pytest.mark.slow
def test_without_mnist_it_says_so_and_runs_on_digits(command, tmp_path):
    done = command("--steps=3", "--noplot")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("MNIST is not prepared in ")
    assert "make data" in done.stdout.splitlines()[0]
    assert gradjax.load(only_run(tmp_path)).summary["problem"] == "digits_mlp"


def test_a_diverged_run_is_a_result(command, tmp_path):
    flags = ("--optimizer=chain(sgd(momentum=0.9), sgd)", "--learning_rate=1e30")
    done = command(*QUICK, *flags)
    assert done.returncode == 0
    assert "diverged" in done.stdout
    summary = json.loads((only_run(tmp_path) / "summary.json").read_text())
    assert summary["status"] == "diverged"
    assert summary["num_diverged"] == 1
    assert 1 <= summary["trials"][0]["diverged_step"] == summary["steps"] < 80


@pytest.mark.slow
def test_reads_flags_from_a_file(command, tmp_path):
    (tmp_path / "flags").write_text("--dataset=digits\n--steps=5\n--seed=7\n--noplot\n")
    assert command("--flagfile=flags").returncode == 0
    assert gradjax.load(only_run(tmp_path)).config["settings"]["seed"] == 7


@pytest.mark.slow
def test_an_optimizer_of_the_users_own(command, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import optax\n"
        "def halved(learning_rate, b1=0.9):\n"
        "    return optax.chain(optax.scale(0.5), optax.sgd(learning_rate, b1))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)  # `python -m` does so
    done = command(*QUICK, "--optimizer=mine:halved(b1=0.5)")
    assert done.returncode == 0, done.stderr
    (row,) = gradjax.frames(only_run(tmp_path)).trials.to_dict("records")
    assert row["optimizer.b1"] == 0.5
    assert row["learning_rate"] == pytest.approx(0.001)


REFUSED = {
    "--optimizer=adma": "'adam'",
    "--schedule=cosin": "'cosine'",
    "--model=mpl": "'mlp'",
    "--optimizer=adam(b9=1)": "learning_rate, b1, b2",
    "--optimizer=adam(b1=1.0)": "below 1",
    "--optimizer=adam(eps=0)": "above 0",
    "--optimizer=adamw(weight_decay=-0.1)": "at least 0",
    "--optimizer=clip(1.0)": "chain",
    "--optimizer=__import__('os').system('true')": "not allowed",
    "--optimizer=os.system": "not allowed",
    "--optimizer=no_such_module:f": "cannot import",
    "--optimizer=" + "(" * 10_000: "10000 characters",
    "--learning_rate=-1": "at least 0",
    "--learning_rate=nan": "finite",
    "--learning_rate=inf": "finite",
    "--learning_rate=fast": "could not convert",
    "--schedule=warmup_cosine(warmup=5000)": "the run has 1200",
    "--schedule=step(at=(0.9, 0.5))": "not sorted",
    "--steps=0": "positive",
    "--epochs=-1": "positive",
    "--batch_size=0": "positive",
    "--batch_size=1258": "1257 training examples",
    "--eval_every=0": "positive",
    "--seeds=0": "positive",
    "--seed=-1": "0 to 4294967295",
    "--seed=4294967296": "0 to 4294967295",
    "--seed=0.5": "invalid literal",
    "--dataset=../secret": "expected NAME",
    "--dataset=mnist": "not prepared",
    "--data_dir=/no/such/folder": "does not exist",
    "--optimzer=adam": "optimizer",
    "adam": "no flag",
    "--workdir=/proc/nothing": "cannot write",
    "--workdir=/no/such/folder/run": "mkdir -p /no/such/folder",
    "--workdir=a\nb": "control character",
    "--workdir=" + "x" * 300: "at most 255",
    "--flagfile=/no/such/file": "No such file",
}


@pytest.mark.parametrize("flag", REFUSED, ids=lambda flag: flag[:40])
def test_refuses_in_one_line_and_writes_nothing(flag, refused, tmp_path, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    given = [] if "data" in flag.split("=")[0] else ["--dataset=digits"]
    if flag.startswith("--data_dir"):
        given = ["--dataset=mnist"]
    said = refused(mnist.EXPERIMENT, *given, flag)
    assert REFUSED[flag] in said
    assert len(said) < 400


@pytest.mark.slow
def test_refusal_from_the_shell_shows_no_traceback(process, tmp_path):
    done = process(
        tmp_path, "experiments.mnist", "--dataset=digits", "--optimizer=adma"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_another_run_in_the_same_workdir_is_refused(first, command, tmp_path):
    shutil.copytree(only_run(first[0]), tmp_path / "mine")
    before = (tmp_path / "mine" / "summary.json").read_bytes()
    done = command(*QUICK, "--workdir=mine", "--schedule=cosine")
    assert done.returncode == 2
    assert 'schedule "constant" there, "cosine" asked' in done.stderr
    done = command(*QUICK, "--workdir=mine", "--seed=5")
    assert done.returncode == 2
    assert "seed 0 there, 5 asked" in done.stderr
    assert (tmp_path / "mine" / "summary.json").read_bytes() == before


def test_a_folder_of_somebody_else_is_refused_even_with_overwrite(command, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text('{"theirs": 1}')
    done = command(*QUICK, "--workdir=mine", "--overwrite")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "no plan.json" in done.stderr
    assert names_in(tmp_path / "mine") == ["config.json"]


@pytest.mark.slow
def test_names_with_spaces_and_unicode_are_folders_too(command, tmp_path):
    assert command(*DRAWN, "--workdir=mein Lauf \u00fc").returncode == 0
    assert names_in(tmp_path / "mein Lauf \u00fc") == FINISHED


KILLS = [  # where, and whether a segment is left to compute
    pytest.param("commit:before_journal:2", True, id="before a commit"),
    pytest.param("segment:begun:2", True, id="while it computes"),
    pytest.param("commit:after_journal:5", False, id="before the summary"),
]
SEGMENTS = ("--dataset=digits", "--steps=60", "--eval_every=20", "--noplot")


@pytest.mark.slow
@pytest.mark.parametrize(("point", "is_unfinished"), KILLS)
def test_a_killed_run_resumes_to_the_same_bits(
    point, is_unfinished, process, command, tmp_path
):
    flags = (*SEGMENTS, "--workdir=mine")
    fault = {"GRADJAX_FAULT": f"{point}:kill"}
    killed = process(tmp_path, "experiments.mnist", *flags, **fault)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert names_in(tmp_path / "mine") == UNFINISHED
    with pytest.raises(gradjax.Refusal, match="no finished run"):
        gradjax.load(tmp_path / "mine")
    resumed = command(*flags)
    assert resumed.returncode == 0, resumed.stderr
    said = "an unfinished run is here, with" in resumed.stdout
    assert said == is_unfinished
    assert command(*SEGMENTS, "--workdir=whole").returncode == 0
    assert computed(tmp_path / "mine") == computed(tmp_path / "whole")
    same_trial(gradjax.load(tmp_path / "mine"), gradjax.load(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("name", "code"), [("int", 130), pytest.param("term", 143, marks=SLOW)]
)
def test_a_signal_keeps_what_is_done_and_says_how_to_resume(
    name, code, command, tmp_path
):
    flags = (*SEGMENTS, "--workdir=mine")
    stopped = command(*flags, GRADJAX_FAULT=f"commit:before:2:{name}")
    assert stopped.returncode == code
    heard, said = stopped.stderr.splitlines()
    assert heard == f"SIG{name.upper()}: {HEARD}"
    assert said.startswith("stopped after segment run-0-")
    assert said.endswith("; the same command goes on")
    ((_, curve),) = gradjax.frames(tmp_path / "mine").curves.groupby("trial")
    done = int(curve.step.max())
    assert 0 < done < 60
    (row,) = gradjax.frames(tmp_path / "mine").trials.to_dict("records")
    assert row["status"] == "unfinished"
    before = computed_segments(tmp_path / "mine")
    assert len(before) == 2

    resumed = command(*flags)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert f"with {done} of 60 steps: it goes on" in resumed.stdout
    after = computed_segments(tmp_path / "mine")
    assert {name: after[name] for name in before} == before
    assert command(*SEGMENTS, "--workdir=whole").returncode == 0
    assert computed(tmp_path / "mine") == computed(tmp_path / "whole")


def computed_segments(folder):
    """The stored segments, byte for byte."""
    return {path.name: path.read_bytes() for path in folder.glob("segments/*.npz")}


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_leaves_what_can_be_resumed(tmp_path):
    flags = ("--dataset=digits", "--epochs=4000", "--workdir=mine")
    with training(tmp_path, *flags) as started:
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=180)
    assert started.returncode == 130
    heard, stopped = said.splitlines()
    assert heard == f"SIGINT: {HEARD}"
    assert stopped.endswith("; the same command goes on")
    assert names_in(tmp_path / "mine") == UNFINISHED
    assert computed_segments(tmp_path / "mine")


@pytest.mark.parametrize(
    "shell",
    [
        "{} | head -1",
        "{} >&-",
        "{} 2>&-",
        "{} >/dev/full",
    ],
)
@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(shell, tmp_path):
    typed = f"{sys.executable} -m experiments.mnist --dataset=digits --epochs=3"
    kept = {k: v for k, v in os.environ.items() if k != "TFDS_DATA_DIR"}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell.format(typed)],
        cwd=tmp_path,
        env=kept | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert names_in(only_run(tmp_path)) == FINISHED


@pytest.mark.slow
def test_a_full_disk_is_named_and_leaves_the_run_unfinished(tmp_path):
    limited = (
        "import resource, runpy, signal, sys;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "sys.argv = ['mnist', '--dataset=digits', '--steps=50', '--workdir=mine'];"
        "runpy.run_module('experiments.mnist', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "JAX_ENABLE_COMPILATION_CACHE": "false"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert re.search(r"mine.*: File too large", done.stderr)
    assert done.stderr.count("\n") == 1
    assert names_in(tmp_path / "mine") == UNFINISHED
    assert not [path for path in tmp_path.rglob("*.tmp")]


def test_help_reads_like_documentation(command):
    shown = command("--help")
    assert shown.returncode == 0
    assert "Claim:" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 90
    for group in groups_of(mnist.EXPERIMENT).values():
        for flag in group:
            assert (
                f"--{flag.name}" in shown.stdout or f"[no]{flag.name}" in shown.stdout
            )
    for name in (*optimizers.OPTIMIZERS, *schedules.SCHEDULES):
        assert name in shown.stdout


@pytest.mark.slow
def test_the_tutorial_run_on_mnist(command, data_dir, tmp_path):
    done = command(f"--data_dir={data_dir}", "--epochs=1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mnist (")
    run = gradjax.load(only_run(tmp_path))
    assert run.summary["dataset"] == "mnist"
    assert run.config["data"]["num_examples"] == {
        "train": 55_000,
        "validation": 5_000,
        "test": 10_000,
    }
    assert run.summary["test_accuracy"] > 0.94


@pytest.mark.slow
def test_a_second_start_is_at_its_first_step_sooner(tmp_path):
    cache = {"XDG_CACHE_HOME": str(tmp_path / "fresh")}

    def first_line_s():
        start = time.monotonic()
        with training(tmp_path, *QUICK, "--overwrite", **cache) as started:
            passed = time.monotonic() - start
            started.communicate()
        return passed

    first, second = first_line_s(), first_line_s()
    assert second < 0.9 * first, (first, second)
