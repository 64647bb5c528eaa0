"""--coordinator: several processes compute one run, and the first one writes it."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import gradjax

ROOT = Path(__file__).resolve().parents[2]
MODULE = "experiments.mnist"
FLAGS = ("--dataset=digits", "--model=mlp(widths=(16,))", "--batch_size=32")
FLAGS += ("--steps=60", "--eval_every=10", "--noplot")


def refused(ended):
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    (line,) = ended.stderr.strip().splitlines()
    return line


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def begun(folder, *more, faults=("", "")):
    """Starts both processes of a run."""
    port = free_port()
    own = ("--mesh=data=2", f"--coordinator=127.0.0.1:{port}", "--num_processes=2")
    return [
        subprocess.Popen(
            [sys.executable, "-m", MODULE, *FLAGS, *own, f"--process_id={k}", *more],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "GRADJAX_FAULT": faults[k]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k in (0, 1)
    ]


def ended(processes):
    """Waits for both processes: [(exit code, stdout, stderr)]."""
    said = [one.communicate(timeout=280) for one in processes]
    return [(one.returncode, *of) for one, of in zip(processes, said, strict=True)]


def close(folder, names):
    """Compares the curves of two records, up to rounding."""
    one, other = (gradjax.load(folder / name) for name in names)
    for name, series in one.trace.items():
        found = other.trace[name].values
        np.testing.assert_allclose(series.values, found, rtol=1e-4, atol=1e-5)
    return other


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--num_processes=2",), "--num_processes=2: goes with --coordinator"),
        (("--coordinator=here",), "expected HOST:PORT, as in 10.0.0.1:8476, or auto"),
        (("--coordinator=a:1",), "give --num_processes=N and --process_id=K, too"),
        (
            ("--coordinator=a:1", "--num_processes=2", "--process_id=2"),
            "expected a number from 0 to one less",
        ),
    ],
)
def test_impossible_processes_are_refused(typed, tmp_path, flags, line):
    assert line in refused(typed(MODULE, *FLAGS, "--mesh=data=1", *flags))
    assert not list(tmp_path.iterdir())


def test_a_coordinator_without_a_free_port_is_refused(typed, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        own = (f"--coordinator={address}", "--num_processes=2", "--process_id=0")
        line = refused(typed(MODULE, *FLAGS, "--mesh=data=2", *own))
    expected = "process 0 cannot listen there: Address already in use"
    assert line == f"--coordinator={address}: {expected}"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_and_one_resume_what_the_other_has_begun(process, tmp_path):
    def alone(*more, **environment):
        return process(tmp_path, MODULE, *FLAGS, *more, **environment)

    killed = "segment:begun:4:kill"
    assert alone("--workdir=alone").returncode == 0
    assert alone("--workdir=one", GRADJAX_FAULT=killed).returncode == -9
    found = ended(begun(tmp_path, "--workdir=one", "--accept_changes"))
    assert [code for code, *_ in found] == [0, 0], found
    assert not found[1][1]  # the second process prints nothing
    assert close(tmp_path, ("alone", "one")).summary["num_changes"] == 1

    first, second = ended(begun(tmp_path, "--workdir=two", faults=(killed, "")))
    assert first[0] == -9 and second[0] != 0  # it does not wait for ever
    assert "--accept_changes" in refused(alone("--workdir=two"))
    assert alone("--workdir=two", "--accept_changes").returncode == 0
    two = close(tmp_path, ("alone", "two"))
    assert two.config["environment"]["num_processes"] == 2


@pytest.mark.slow
def test_each_process_reads_its_own_part_of_a_stream(process, tmp_path):
    assert process(tmp_path, MODULE, *FLAGS, "--workdir=alone").returncode == 0
    found = ended(begun(tmp_path, "--workdir=stream", "--stream"))
    assert [code for code, *_ in found] == [0, 0], found
    close(tmp_path, ("alone", "stream"))


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_after_the_segment(tmp_path):
    processes = begun(tmp_path, "--workdir=run", "--steps=1000")
    deadline = time.monotonic() + 200
    while not list((tmp_path / "run" / "segments").glob("*.npz")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    processes[1].send_signal(signal.SIGTERM)
    codes = [code for code, *_ in ended(processes)]
    assert codes == [143, 143]
