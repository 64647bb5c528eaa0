"""Local processes: the same bits as inline, and what happens when one is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gradjax.errors import Refusal
from gradjax.executors import Asked, WorkerLost, processes
from gradjax.records import frames
from tests.executors import held
from tests.executors.commands import ROOT, Command, journal_names, ordered, sweep

LIMIT_S = 200.0
SWEEP = sweep(1_000, optimizer="tests.executors.held:held_sgd")
PROCESSES = ("--executor=processes", "--num_workers=2", "--accept_changes")
SCRIPT = """
import jax.numpy as jnp
import gradjax

def parabola(x, batch, key):
    return jnp.sum((x - 1.0) ** 2), {}

found = gradjax.tune(
    gradjax.problem(parabola, lambda key: jnp.zeros(3)),
    "sgd",
    {"learning_rate": [0.1, 0.2, 0.3]},
    num_steps=20,
    num_fresh_seeds=0,
    lane_width=1,
    executor="processes",
    num_workers=1,
    workdir="found",
)
print("trained", len(found.rows))
"""


def state_of(folder):
    """The fields of /proc/<pid>/stat after the name: the state, the parent, ..."""
    return (folder / "stat").read_text().rpartition(")")[2].split()


def alive(pid):
    """Whether a process runs, and has not ended as a zombie."""
    try:
        return state_of(Path(f"/proc/{pid}"))[0] != "Z"
    except OSError:
        return False


def workers_of(pid):
    """The processes that compute for a command: spawned, and not the tracker."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                is_spawned = b"spawn_main" in (folder / "cmdline").read_bytes()
                if is_spawned and int(state_of(folder)[1]) == pid:
                    found.append(int(folder.name))
            except OSError:
                continue
    return sorted(found)


def same(folder, other):
    found, wanted = frames(folder), frames(other)
    assert found.trials.equals(wanted.trials)
    assert ordered(found.curves).equals(ordered(wanted.curves))


@pytest.fixture(scope="module")
def inline(tmp_path_factory):
    """The folder of the sweep, trained inline."""
    folder = tmp_path_factory.mktemp("inline") / "a"
    command = Command(folder, *SWEEP)
    assert command.wait(LIMIT_S) == 0, command.said()
    return folder


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_bits_are_those_of_inline(tmp_path):
    place = tmp_path / "held"
    command = Command(tmp_path / "a", *SWEEP, *PROCESSES, **{held.HOLD: str(place)})
    try:
        pid = held.holder(place, LIMIT_S)
        command.until(1, LIMIT_S)  # which the other worker has trained
        os.kill(pid, signal.SIGKILL)
        assert command.wait(LIMIT_S) == 0, command.said()
    finally:
        command.kill()
    assert command.said().count("try 1 of 3 gave no result: its process ended") == 1
    other = Command(tmp_path / "inline", *SWEEP)
    assert other.wait(LIMIT_S) == 0, other.said()
    same(tmp_path / "a", other.folder)
    names = journal_names(tmp_path / "a", "segment")
    assert len(names) == len(set(names)) == 6
    assert not list((tmp_path / "a").rglob("*.partial"))


@pytest.mark.slow
def test_workers_end_with_a_killed_command_and_inline_goes_on(inline, tmp_path):
    place = tmp_path / "held"
    command = Command(tmp_path / "a", *SWEEP, *PROCESSES, **{held.HOLD: str(place)})
    try:
        held.holder(place, LIMIT_S)
        command.until(1, LIMIT_S)
        pids = workers_of(command.process.pid)
        assert len(pids) == 2 and all(map(alive, pids))
    finally:
        command.kill()
    end = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, pids))
    before = command.segments()
    assert 0 < len(before) < 6
    again = Command(tmp_path / "a", *SWEEP)
    assert again.wait(LIMIT_S) == 0, again.said()
    same(tmp_path / "a", inline)
    assert again.segments()[: len(before)] == before


@pytest.mark.slow
def test_processes_go_on_with_a_sweep_that_began_inline(inline, tmp_path):
    fault = {"GRADJAX_FAULT": "commit:after_journal:5:kill"}
    command = Command(tmp_path / "a", *SWEEP, **fault)
    assert command.wait(LIMIT_S) == -signal.SIGKILL
    assert command.segments()
    again = Command(tmp_path / "a", *SWEEP, *PROCESSES)
    assert again.wait(LIMIT_S) == 0, again.said()
    same(tmp_path / "a", inline)


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_and_says_so(tmp_path):
    place = tmp_path / "held"
    command = Command(tmp_path / "a", *SWEEP, *PROCESSES, **{held.HOLD: str(place)})
    try:
        held.holder(place, LIMIT_S)
        command.until(1, LIMIT_S)
        pids = workers_of(command.process.pid)
        command.process.send_signal(signal.SIGINT)
        assert command.wait(LIMIT_S) == 130, command.said()
    finally:
        command.kill()
    assert "of 6 batches; the same command goes on" in command.said()
    assert not any(map(alive, pids))
    assert not command.said().count("Traceback")


@pytest.mark.slow
def test_seeds_of_one_run_are_trained_by_processes(tmp_path):
    flags = ("--dataset=digits", "--model=mlp", "--steps=100", "--seeds=3", "--noplot")
    flags = (*flags, "--lane_width=1", "--num_threads=1")
    for name, more in (("a", PROCESSES), ("b", ())):
        command = Command(tmp_path / name, *flags, *more)
        assert command.wait(LIMIT_S) == 0, command.said()
    same(tmp_path / "a", tmp_path / "b")


@pytest.mark.slow
def test_a_script_without_a_main_guard_works(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "trained 3"
    assert done.stdout.count("trained") == 1


def test_more_workers_than_cores_are_refused():
    with pytest.raises(Refusal, match=r"--num_workers=9999: there are \d+ cores"):
        processes.start(len, b"", Asked(num_workers=9999))


def answer(work, task):
    """A task of the tests below: its work, its process and its cores."""
    if task == b"raise":
        raise ValueError("of no use")
    if task == b"end":
        os._exit(1)
    if task == b"sleep":
        time.sleep(100)
    return work + task


@pytest.mark.slow
def test_an_executor_says_how_its_tasks_ended():
    running = processes.start(answer, b"work ", Asked(num_workers=1))
    try:
        for task in (b"a", b"b"):
            handle = running.submit(task, None)
            assert running.wait([handle], 60) == [handle]
            assert running.result(handle) == b"work " + task
        for task, line in ((b"raise", "ValueError: of no use"), (b"end", "ended")):
            handle = running.submit(task, None)
            assert running.wait([handle], 60) == [handle]
            with pytest.raises(WorkerLost, match=line):
                running.result(handle)
        handle = running.submit(b"sleep", None)
        assert running.wait([handle], 0.5) == []
        running.cancel(handle)
        handle = running.submit(b"c", None)
        assert running.wait([handle], 60) == [handle]
        assert running.result(handle) == b"work c"
        assert running.wait([], 0.0) == []
    finally:
        running.close()
