"""A Ray cluster on this machine loses a node in the middle of a batch."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from gradjax.records import frames
from tests.executors import held
from tests.executors.commands import Command, journal_names, ordered, sweep

pytest.importorskip("ray")
pytestmark = [pytest.mark.ray, pytest.mark.slow]
SWEEP = sweep(1_000, optimizer="tests.executors.held:held_sgd")
CLUSTER = Path(__file__).with_name("ray_cluster.py")
MARK = "GRADJAX_TESTS_RAY"  # a variable of all processes of one cluster
LIMIT_S = 150.0  # for everything


@pytest.fixture
def place(tmp_path):
    """The file into which the worker that is held writes its number."""
    return tmp_path / "held"


@pytest.fixture
def cluster(place):
    """The address of a cluster, and a function that kills the node that is held."""
    mark = uuid.uuid4().hex
    variables = os.environ | {MARK: mark, "RAY_USAGE_STATS_ENABLED": "0"}
    variables["PYTHONPATH"] = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, str(CLUSTER), str(place)],
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def line(seconds):
        assert select.select([process.stdout], [], [], seconds)[0], "no answer of Ray"
        return process.stdout.readline().strip()

    def kill():
        process.stdin.write("kill\n")
        process.stdin.flush()
        assert line(30) == "killed"

    try:
        yield line(100), kill
    finally:
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        for pid in marked(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        end = time.monotonic() + 20
        while marked(mark) and time.monotonic() < end:
            time.sleep(0.2)
        assert not marked(mark)


def marked(mark):
    """The processes that have the variable of a cluster in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
    return found


def running():
    """The command lines of the processes of this machine."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                yield (folder / "cmdline").read_bytes()


def test_a_sweep_on_ray_survives_the_loss_of_a_node(cluster, place, tmp_path, data_dir):
    address, kill = cluster
    flags = (*SWEEP, "--executor=ray", f"--ray_address={address}")
    command = Command(tmp_path / "ray", *flags, TFDS_DATA_DIR=str(data_dir))
    try:
        held.holder(place, LIMIT_S)
        command.until(1, LIMIT_S)  # which the other node has trained
        kill()
        assert command.wait(LIMIT_S) == 0, command.said()
    finally:
        command.kill()
    said = command.said()
    print(said)
    assert said.count("try 1 of 3 gave no result: its node was lost") == 1
    assert "set aside" not in said
    assert "(raylet)" not in said

    inline = Command(tmp_path / "inline", *SWEEP, TFDS_DATA_DIR=str(data_dir))
    assert inline.wait(LIMIT_S) == 0, inline.said()
    found, wanted = frames(tmp_path / "ray"), frames(tmp_path / "inline")
    assert found.trials.equals(wanted.trials)
    assert ordered(found.curves).equals(ordered(wanted.curves))
    names = journal_names(tmp_path / "ray", "segment")
    assert len(names) == 6
    assert sorted(set(names)) == sorted(names)
    summary = json.loads((tmp_path / "ray" / "summary.json").read_text())
    assert not summary.get("num_set_aside")


def test_a_cluster_that_is_not_there_is_refused(tmp_path, data_dir):
    if any(b"gcs_server" in name for name in running()):
        pytest.skip("another Ray cluster runs on this machine")
    flags = (*SWEEP, "--executor=ray")
    given = {"TFDS_DATA_DIR": str(data_dir), "RAY_TMPDIR": str(tmp_path)}
    command = Command(tmp_path / "a", *flags, **given)
    assert command.wait(LIMIT_S) == 2
    assert "no Ray cluster runs on this machine; start one with" in command.said()
