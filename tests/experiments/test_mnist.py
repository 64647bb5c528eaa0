"""The command as its user types it: what it prints, keeps, refuses."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import gradjax

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--dataset=digits", "--epochs=2")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def command(tmp_path, cache):
    """Runs `python -m experiments.mnist` in an empty folder, without a terminal."""

    def run(*flags, **kwargs):
        return subprocess.run(
            [sys.executable, "-m", "experiments.mnist", *flags],
            cwd=tmp_path,
            env=environment(cache),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            **kwargs,
        )

    return run


def environment(cache, **more):
    kept = {k: v for k, v in os.environ.items() if k != "TFDS_DATA_DIR"}
    paths = {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache), "HOME": str(cache)}
    return kept | paths | more


@contextlib.contextmanager
def training(folder, cache, *flags):
    """The command, as a process that has begun to train."""
    with subprocess.Popen(
        [sys.executable, "-m", "experiments.mnist", *flags],
        cwd=folder,
        env=environment(cache),
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


def kept_files(folder):
    return sorted(path.name for path in folder.iterdir())


WHOLE = ["config.json", "curves.png", "params.npz", "summary.json", "trace.npz"]


def test_trains_keeps_and_does_not_train_again(command, tmp_path):
    first = command(*QUICK)
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    assert "\x1b" not in first.stdout
    assert first.stdout.startswith("digits (scikit-learn")
    folder = only_run(tmp_path)
    assert kept_files(folder) == WHOLE
    before = {name: (folder / name).read_bytes() for name in WHOLE}

    second = command(*QUICK)
    assert second.returncode == 0
    assert "is finished already; --overwrite trains again" in second.stdout
    assert "test accuracy" in second.stdout
    assert {name: (folder / name).read_bytes() for name in WHOLE} == before

    third = command(*QUICK, "--overwrite", "--noplot")
    assert third.returncode == 0
    assert kept_files(folder) == [name for name in WHOLE if name != "curves.png"]
    assert (folder / "trace.npz").read_bytes() == before["trace.npz"], (
        "not the same bits"
    )
    assert (folder / "params.npz").read_bytes() == before["params.npz"]


def test_what_is_kept_says_what_ran(command, tmp_path):
    flags = ("--optimizer=adamw(b2=0.95)", "--schedule=cosine", "--seeds=3")
    assert command(*QUICK, *flags, "--batch_size=50").returncode == 0
    run = gradjax.load(only_run(tmp_path))
    assert run.config["settings"]["dataset"] == run.summary["dataset"] == "digits"
    assert run.config["hparams"] == pytest.approx(
        {"learning_rate": 1e-3, "optimizer.b2": 0.95, "schedule.end": 0.0}
    )
    assert run.config["environment"]["versions"]["jax"]
    assert run.summary["steps"] == 2 * 26, "1,257 examples are 26 batches of 50"
    assert run.summary["seeds"] == [0, 1, 2]
    assert run.trace["loss"].values.shape == (3, 52)
    assert run.trace["validation_loss"].steps.tolist() == [26, 52]
    figures = [trial["test_accuracy"] for trial in run.summary["trials"]]
    spread = run.summary["intervals"]["test_accuracy"]
    assert spread["mean"] == pytest.approx(np.mean(figures))
    half = 4.302652729 * np.std(figures, ddof=1) / np.sqrt(3)  # t(2) at 0.975
    assert spread["high"] - spread["mean"] == pytest.approx(half)


def test_loaded_parameters_predict_what_the_summary_says(command, tmp_path):
    assert command(*QUICK, "--seeds=2").returncode == 0
    from gradjax.data import digits

    test = digits.load().test
    for trial in (0, 1):
        run = gradjax.load(only_run(tmp_path), trial)
        probabilities = np.asarray(run.predict(test["image"]))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
        accuracy = (probabilities.argmax(axis=1) == test["label"]).mean()
        kept = run.summary["trials"][trial]["test_accuracy"]
        assert accuracy == pytest.approx(kept, abs=1e-6)


def test_without_mnist_it_says_so_and_runs_on_digits(command, tmp_path):
    done = command("--steps=3")
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
    assert 1 <= summary["trials"][0]["diverged_step"] <= summary["steps"]


def test_reads_flags_from_a_file(command, tmp_path):
    (tmp_path / "flags").write_text("--dataset=digits\n--steps=5\n--seed=7\n")
    assert command("--flagfile=flags").returncode == 0
    assert gradjax.load(only_run(tmp_path)).config["settings"]["seed"] == 7


def test_an_optimizer_of_the_users_own(command, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import optax\n"
        "def halved(learning_rate, b1=0.9):\n"
        "    return optax.chain(optax.scale(0.5), optax.sgd(learning_rate, b1))\n"
    )
    done = command("--dataset=digits", "--steps=5", "--optimizer=mine:halved(b1=0.5)")
    assert done.returncode == 0, done.stderr
    config = gradjax.load(only_run(tmp_path)).config
    assert config["hparams"] == {"optimizer.b1": 0.5, "learning_rate": 0.001}


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
    from experiments import mnist

    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    given = [] if "data" in flag.split("=")[0] else ["--dataset=digits"]
    if flag.startswith("--data_dir"):
        given = ["--dataset=mnist"]
    said = refused(mnist.EXPERIMENT, *given, flag)
    assert REFUSED[flag] in said
    assert len(said) < 400


def test_refusal_from_the_shell_shows_no_traceback(command, tmp_path):
    done = command("--dataset=digits", "--optimizer=adma")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_another_run_in_the_same_workdir_is_refused(command, tmp_path):
    assert command(*QUICK, "--workdir=mine").returncode == 0
    before = (tmp_path / "mine" / "summary.json").read_bytes()
    done = command(*QUICK, "--workdir=mine", "--seed=5")
    assert done.returncode == 2
    assert "seed 0 there, 5 asked" in done.stderr
    assert (tmp_path / "mine" / "summary.json").read_bytes() == before


def test_a_folder_of_somebody_else_is_refused_even_with_overwrite(command, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text('{"theirs": 1}')
    done = command(*QUICK, "--workdir=mine", "--overwrite")
    assert done.returncode == 2
    assert "no gradjax run" in done.stderr
    assert kept_files(tmp_path / "mine") == ["config.json"]


def test_names_with_spaces_and_unicode_are_folders_too(command, tmp_path):
    assert command(*QUICK, "--workdir=mein Lauf \u00fc").returncode == 0
    assert kept_files(tmp_path / "mein Lauf \u00fc") == WHOLE


def test_a_killed_run_starts_again_and_says_so(command, tmp_path, cache):
    flags = ("--dataset=digits", "--epochs=400", "--workdir=mine")
    with training(tmp_path, cache, *flags) as started:
        started.send_signal(signal.SIGKILL)
    assert kept_files(tmp_path / "mine") == ["config.json"]
    with pytest.raises(gradjax.Refusal, match="no finished run"):
        gradjax.load(tmp_path / "mine")
    again = command(*flags)
    assert again.returncode == 0, again.stderr
    assert "it starts again" in again.stdout
    assert kept_files(tmp_path / "mine") == WHOLE


def test_ctrl_c_leaves_in_one_line(tmp_path, cache):
    with training(tmp_path, cache, "--dataset=digits", "--epochs=4000") as started:
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=180)
    assert started.returncode == 130
    assert said == "interrupted; the same command starts again\n"


@pytest.mark.parametrize(
    "shell", ["{} | head -1", "{} >&-", "{} 2>&-", "{} >/dev/full"]
)
def test_a_reader_that_goes_away_is_no_error(shell, tmp_path, cache):
    typed = f"{sys.executable} -m experiments.mnist --dataset=digits --epochs=3"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell.format(typed)],
        cwd=tmp_path,
        env=environment(cache),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert kept_files(only_run(tmp_path)) == WHOLE


def test_a_full_disk_is_named_and_leaves_the_run_unfinished(tmp_path, cache):
    limited = (
        "import resource, runpy, signal, sys;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "sys.argv = ['mnist', '--dataset=digits', '--steps=50', '--workdir=mine'];"
        "runpy.run_module('experiments.mnist', run_name='__main__')"
    )
    env = environment(cache, JAX_ENABLE_COMPILATION_CACHE="false")
    done = subprocess.run(
        [sys.executable, "-c", limited],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert re.search(r"cannot write in .*mine: File too large", done.stderr)
    assert "Traceback" not in done.stderr
    assert "summary.json" not in kept_files(tmp_path / "mine")
    assert not any(name.startswith(".") for name in kept_files(tmp_path / "mine"))


def test_help_reads_like_documentation(command):
    shown = command("--help")
    assert shown.returncode == 0
    assert "Claim:" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 90
    from experiments import mnist
    from gradjax import optimizers, schedules

    for group in mnist.COMMAND.groups.values():
        for flag in group:
            assert (
                f"--{flag.name}" in shown.stdout or f"[no]{flag.name}" in shown.stdout
            )
    for name in (*optimizers.OPTIMIZERS, *schedules.SCHEDULES):
        assert name in shown.stdout


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


def test_a_second_start_is_at_its_first_step_sooner(tmp_path):
    def first_line_s():
        start = time.monotonic()
        with training(tmp_path, tmp_path / "fresh", *QUICK, "--overwrite") as started:
            passed = time.monotonic() - start
            started.communicate()
        return passed

    first, second = first_line_s(), first_line_s()
    assert second < 0.9 * first, (first, second)
