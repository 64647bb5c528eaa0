"""What a sweep of a network lives with, as its user meets it; rows of the fault table.

One sweep is shared: three rules, one of them without a state and two whose state is
what a diverged lane could harm, each with four learning rates side by side, of which
two diverge.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gradjax.records import store

ROOT = Path(__file__).resolve().parents[2]
PLATEAU = "chain(reduce_on_plateau(factor=0.5, patience=1, accumulation_size=2), sgd)"
RULES = ("sgd", PLATEAU, "apply_if_finite(sgd, max_consecutive_errors=2)")
RATES = (0.05, 1e30, 0.2, 1e20)  # the second and the last diverge
BASE = (
    "--dataset=digits",
    "--model=mlp",
    "--steps=40",
    "--eval_every=10",
    "--batch_size=64",
    "--lane_width=4",
    "--num_devices=1",
    "--noplot",
)
EACH = f"--sweep=optimizer=[{', '.join(map(repr, RULES))}]"


def rates(*values):
    return f"--sweep=learning_rate=[{', '.join(map(repr, values))}]"


PLAIN = ("--optimizer=sgd", rates(*RATES), "--fresh_seeds=1")


@pytest.fixture(scope="module")
def finished(process, tmp_path_factory):
    """(name, flags) -> the folder of a sweep that a process ran, and its output."""
    place = tmp_path_factory.mktemp("sweeps")

    def run(name, *flags):
        flags = (*BASE, *flags, f"--workdir={name}")
        done = process(place, "experiments.mnist", *flags)
        assert done.returncode == 0, done.stderr
        return place / name, done.stdout

    return run


@pytest.fixture
def sweep(typed):
    """(folder's name, flags) -> how the command ended, run in an empty folder."""

    def run(name, *flags, **more):
        flags = (*BASE, *flags, f"--workdir={name}")
        return typed("experiments.mnist", *flags, **more)

    return run


@pytest.fixture(scope="module")
def whole(finished):
    """The shared sweep, finished: (its folder, what it printed)."""
    return finished("whole", EACH, rates(*RATES), "--fresh_seeds=1")


@pytest.fixture(scope="module")
def alone(finished):
    """The first rate of each rule, with nobody beside it in its lanes."""
    return finished("alone", EACH, rates(RATES[0]), "--fresh_seeds=0")[0]


@pytest.fixture(scope="module")
def plain(finished):
    """A finished sweep of the first rule alone."""
    return finished("plain", *PLAIN)[0]


def searched(folder):
    """Group -> the arrays of its segments, each with the rows it is about."""
    it = store.open_to_read(folder, say=pytest.fail)
    found = {}
    for name in store.committed_segments(it):
        kind, _, group, *_ = name.split("-")
        if kind == "search":
            found.setdefault(group, []).append(store.read(it, name))
    return found


def of_row(segments, row):
    """(array, segment) -> what is kept of one trial."""
    return {
        (key, k): values[list(one["rows"]).index(row)]
        for k, one in enumerate(segments)
        if row in one["rows"]
        for key, values in one.items()
        if key not in ("rows", "trial")
    }


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.slow
def test_rows_1_and_4_a_diverged_lane_leaves_its_neighbours_alone(whole, alone):
    mixed, single = searched(whole[0]), searched(alone)
    assert list(mixed) == list(single) and len(mixed) == len(RULES)
    for group, segments in mixed.items():
        found, expected = of_row(segments, 0), of_row(single[group], 0)
        assert found.keys() == expected.keys() and len(segments) > 1
        for key, values in expected.items():
            assert key[0] != "trace/loss" or np.isfinite(values).all()
            np.testing.assert_array_equal(found[key], values, err_msg=str(key))


@pytest.mark.slow
def test_row_4_the_rules_have_a_state_that_matters(whole):
    """Else the test above would say nothing of them."""
    sgd, plateau, _ = searched(whole[0]).values()
    losses = [
        np.concatenate([of_row(one, 0)[("trace/loss", k)] for k in range(len(one))])
        for one in (sgd, plateau)
    ]
    assert losses[0][0] == losses[1][0] and losses[0][-1] != losses[1][-1]


@pytest.mark.slow
def test_row_1_a_lane_is_frozen_with_the_step_at_which_it_diverged(whole):
    for segments in searched(whole[0]).values():
        first = segments[0]
        assert first["rows"].tolist() == [0, 1, 2, 3]
        assert (first["diverged_step"] > 0).tolist() == [False, True, False, True]
        for row in (1, 3):
            losses = first["trace/loss"][row]
            step = first["diverged_step"][row]
            went_on = first.get("trace/tolerated", np.zeros((4, len(losses))))[row] == 1
            assert (np.isfinite(losses) | went_on)[: step - 1].all()
            assert not np.isfinite(losses[step - 1])
        assert all(one["rows"].tolist() == [0, 2] for one in segments[1:])
    assert summary_of(whole[0])["num_diverged"] == 2 * len(RULES)


@pytest.mark.slow
def test_row_2_what_diverged_is_never_the_best(whole):
    found = summary_of(whole[0])["optimizers"]
    assert set(found) == set(RULES)
    for one in found.values():
        assert one["best"]["learning_rate"] in (0.05, 0.2)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1e30, 1e37])
def test_row_2_an_overflow_in_the_last_step_is_never_the_best(sweep, tmp_path, rate):
    """Its parameters are finite yet, its loss on them is not."""
    name = f"last-{rate:g}"
    one_step = ("--optimizer=sgd", "--steps=1", "--eval_every=1", "--fresh_seeds=0")
    done = sweep(name, *one_step, rates(rate, 0.0))
    assert done.returncode == 0, done.stderr
    (best,) = summary_of(tmp_path / name)["optimizers"].values()
    assert best["best"]["learning_rate"] == 0.0


@pytest.mark.slow
def test_row_3_when_all_diverge_the_summary_says_so(sweep, tmp_path):
    done = sweep("diverged", "--optimizer=sgd", rates(1e30, 1e20, 1e10))
    assert done.returncode == 0, done.stderr
    assert "every trial diverged" in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith("fresh")]
    found = summary_of(tmp_path / "diverged")
    assert found["num_trials"] == found["num_diverged"] == 3
    (one,) = found["optimizers"].values()
    assert one.get("best") is None


@pytest.mark.slow
def test_row_32_programs_are_counted_before_the_first_of_them_runs(whole):
    lines = whole[1].splitlines()
    (said,) = [k for k, line in enumerate(lines) if "12 trials in 3 programs" in line]
    steps = [k for k, line in enumerate(lines) if re.search(r"step [\d,]+ of", line)]
    assert said < min(steps)


# What is varied, and how its user sees that it is wrong; digits has 1,257 examples.
REFUSED = {
    "learning_rate=log(0, 1)": "above 0",
    "learning_rate=log(-1e-3, 1)": "above 0",
    "learning_rate=log(1, 1e-3)": "low is above high",
    "learning_rate=log(1, 1)": "low is high",
    "learning_rate=[]": "an empty list",
    "learning_rate=[0.1, 1e-1]": "0.1 is 2 times",
    "learning_rate=linear(0, 1, 1000000000)": "1,000,000,000 points",
    "learning_rate=log(1e-4, nan)": "nan",
    "learning_rate=[-0.1]": "at least 0",
    "optimizer=[sgd, 'sgd()']": "2 times",
    "batch_size=[32, 2000]": "1257 training examples",
    "batch_size=[0]": "batch_size",
    "seed=[-1]": "seed",
    "seed=[0.5]": "seed",
}
REFUSED_FLAGS = {
    "--seed=-1": "0 to 4294967295",
    "--seed=4294967296": "0 to 4294967295",
    "--seed=0.5": "invalid literal",
    "--seeds=0": "positive",
    "--workdir=/proc/nothing": "cannot write",
    "--workdir=a-file": "it is a file",
    "--workdir=no/such/parent": "mkdir -p",
    "--workdir=a\nb": "control character",
    "--workdir=" + "x" * 300: "at most 255",
    "--workdir=full": "no plan.json",
}
GOOD = "--sweep=learning_rate=[0.1]"


@pytest.fixture
def refused(typed, tmp_path):
    """The one line that a command is refused with; nothing is compiled or written."""

    def run(*given):
        before = sorted(tmp_path.rglob("*"))
        done = typed("experiments.mnist", *BASE, *given)
        assert done.returncode == 2, done
        assert done.stderr.count("\n") == 1 and len(done.stderr) < 500
        assert "search:" not in done.stdout, "it began"
        assert sorted(tmp_path.rglob("*")) == before
        return done.stderr

    return run


@pytest.mark.parametrize("varied", REFUSED)
def test_rows_31_33_and_34_a_space_that_cannot_be_is_refused(varied, refused):
    assert REFUSED[varied] in refused(f"--sweep={varied}")


def test_row_33_a_grid_of_a_milliard_points_is_refused_with_its_count(refused):
    axes = [
        f"--sweep={name}=linear(0.1, 1, 1000)"
        for name in ("learning_rate", "optimizer.b1", "optimizer.b2")
    ]
    line = refused("--optimizer=adam", *axes)
    assert "1,000,000,000" in line


@pytest.mark.parametrize("flag", REFUSED_FLAGS, ids=lambda flag: flag[:30])
def test_rows_18_and_34_a_folder_or_seed_that_cannot_be(flag, refused, tmp_path):
    (tmp_path / "a-file").write_text("not a folder")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("of somebody else")
    assert REFUSED_FLAGS[flag] in refused(GOOD, flag)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_row_18_a_folder_without_the_right_to_write(refused, tmp_path):
    (tmp_path / "mine").mkdir(mode=0o500)
    assert "Permission denied" in refused(GOOD, "--workdir=mine")


@pytest.fixture(scope="module")
def other_version(tmp_path_factory):
    """A folder on the import path that says optax is of another version."""
    folder = tmp_path_factory.mktemp("path")
    (folder / "optax-0.0.1.dist-info").mkdir()
    (folder / "optax-0.0.1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: optax\nVersion: 0.0.1\n"
    )
    return str(folder)


@pytest.mark.slow
def test_row_22_other_versions_are_refused_or_accepted_and_marked(
    sweep, plain, tmp_path, other_version, monkeypatch
):
    shutil.copytree(plain, tmp_path / "moved")
    before = store.status(tmp_path / "moved")["num_segments"]
    more = (*PLAIN, "--seeds=2")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(other_version)
        done = sweep("moved", *more)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        said = r'versions\.optax "[\d.]+" there, "0\.0\.1" asked'
        assert re.search(said, done.stderr)
        assert "--accept_changes" in done.stderr
        assert store.status(tmp_path / "moved")["num_segments"] == before

        done = sweep("moved", *more, "--accept_changes")
        assert done.returncode == 0, done.stderr
        assert "is marked environment=1" in done.stdout
        it = store.open_to_read(tmp_path / "moved", say=pytest.fail)
        marks = [
            one.get("environment") for one in store.committed_segments(it).values()
        ]
        assert marks[:before] == [None] * before
        assert set(marks[before:]) == {1} and len(marks) > before

        silent = sweep("moved", *more)
        assert silent.returncode == 0 and "is marked" not in silent.stdout
        assert "not all in one environment" in silent.stdout
    back = sweep("moved", *more)
    assert back.returncode == 2 and '"0.0.1" there' in back.stderr


@pytest.mark.parametrize(
    ("point", "action", "code"),
    [
        ("commit:before:2", "int", 130),
        ("commit:after_journal:3", "term", 143),
        ("segment:begun:2", "usr1", 128 + signal.SIGUSR1),
    ],
)
@pytest.mark.slow
def test_row_8_a_signal_lets_the_segment_be_stored_and_goes_on_to_the_same_bits(
    sweep, plain, tmp_path, point, action, code
):
    done = sweep("stopped", *PLAIN, GRADJAX_FAULT=f"{point}:{action}")
    assert done.returncode == code, done.stderr
    first, second = done.stderr.splitlines()
    heard = "finishing this segment; a second signal stops at once"
    assert first == f"SIG{action.upper()}: {heard}"
    folder = tmp_path / "stopped"
    assert second.startswith("stopped after ")
    assert second.endswith("; the same command goes on")
    *_, last = store.committed_segments(store.open_to_read(folder, say=pytest.fail))
    assert store.status(folder)["num_segments"] == int(point[-1])
    assert store.status(folder)["snapshots"][-1:] == [last], "no segment is done twice"
    assert store.verify(folder) == []

    resumed = sweep("stopped", *PLAIN)
    assert resumed.returncode == 0 and resumed.stderr == ""
    both = [store.open_to_read(one, say=pytest.fail).files for one in (folder, plain)]
    assert {k: v["sha256"] for k, v in both[0].items()} == {
        k: v["sha256"] for k, v in both[1].items()
    }


@pytest.mark.slow
def test_row_8_a_process_that_sigusr1_stops_goes_on_to_the_same_bits(tmp_path):
    """As Slurm sends it: while the program is compiled, and in a segment."""
    flags = (*BASE, "--lane_width=1", "--optimizer=sgd", "--steps=4000")
    command = [sys.executable, "-m", "experiments.mnist", *flags, "--eval_every=200"]
    kept = {k: v for k, v in os.environ.items() if k != "TFDS_DATA_DIR"}
    folder, number = tmp_path / "stopped", signal.SIGUSR1

    def run(name, has_begun=None):
        with subprocess.Popen(
            [*command, f"--workdir={name}"],
            cwd=tmp_path,
            env=kept | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as started:
            while has_begun and started.poll() is None and not has_begun():
                time.sleep(0.01)
            if has_begun:
                started.send_signal(number)
            _, said = started.communicate(timeout=120)
        return started.returncode, said.splitlines()

    def parts(name):
        files = store.open_to_read(tmp_path / name, say=pytest.fail).files
        return {k: v["sha256"] for k, v in files.items()}

    assert run("whole") == (0, [])
    code, _ = run("stopped", (folder / "plan.json").is_file)
    assert code in (-number, 128 + number), "a shell shows the same for both"
    assert not _has_segment(folder)
    code, (heard, stopped) = run("stopped", lambda: _has_segment(folder))
    assert code == 128 + number
    assert heard.startswith("SIGUSR1: finishing this segment")
    assert re.fullmatch("stopped after segment .*; the same command goes on", stopped)
    assert store.status(folder)["snapshots"] and len(parts("whole")) > 3
    assert parts("stopped").items() < parts("whole").items()
    assert run("stopped") == (0, [])
    assert parts("stopped") == parts("whole")


def _has_segment(folder):
    journal = folder / "journal.jsonl"
    return journal.is_file() and b'"kind":"segment"' in journal.read_bytes()


@pytest.mark.slow
def test_row_9_a_second_ctrl_c_leaves_at_once_and_the_store_is_whole(tmp_path):
    command = [sys.executable, "-m", "experiments.mnist", *BASE, rates(0.05)]
    own = ("--optimizer=sgd", "--steps=400000", "--eval_every=200", "--workdir=twice")
    kept = {k: v for k, v in os.environ.items() if k != "TFDS_DATA_DIR"}
    with subprocess.Popen(
        [*command, *own],
        cwd=tmp_path,
        env=kept | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stderr is not None
        while started.poll() is None and not _has_segment(tmp_path / "twice"):
            time.sleep(0.02)  # the first segment is short, the next 20,000 steps long
        started.send_signal(signal.SIGINT)
        assert started.stderr.readline().startswith("SIGINT: finishing this segment")
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=10)
    assert started.returncode == 130
    assert (
        said == "left at once; what is committed stays, and the same command goes on\n"
    )
    # Killed between the writing of a snapshot and of its line in the journal, it leaves
    # a file that no line names.
    found = store.verify(tmp_path / "twice")
    assert [line for line in found if "not in the journal" not in line] == []
    assert store.status(tmp_path / "twice")["owner"] is None
    assert store.status(tmp_path / "twice")["num_segments"] >= 1
