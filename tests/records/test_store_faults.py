"""Every window in which a crash could do harm, by the named fault points.

A child of a small driver process runs the sweep of `WORKER` until the fault; then it is
run again without one. What is left is compared with what an untouched one leaves.
"""

import ast
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import gradjax
from gradjax.records import faults, store

WORKER = """
import os, resource, sys
from pathlib import Path
import numpy as np
from gradjax.errors import Refusal
from gradjax.records import store

NAMES = ["segment-0", "segment-1", "segment-2", "segment-3"]
PLAN = {"segments": NAMES, "width": 4}

def arrays_of(k):
    return {"loss": np.random.default_rng(k).normal(size=(4, 50)), "k": np.asarray(k)}

def sweep(folder):
    it = store.create_or_open(Path(folder), PLAN, say=print)
    for k in range(len(store.events(it)), 2):
        store.append(it, {"round": k, "trials": NAMES[2 * k : 2 * k + 2]})
    for k, name in enumerate(NAMES):
        if name not in store.committed_segments(it):
            print("runs", name)
            store.commit(it, name, arrays_of(k), trials=[k])
        latest = store.latest_snapshot(it)
        if latest is None or latest[0] < f"after-{k}":
            store.snapshot(it, f"after-{k}", arrays_of(100 + k))
    store.close(it)

def run(folder):
    try:
        sweep(folder)
    except Refusal as refusal:
        print("refused:", refusal)
        return 2
    return 0
"""
DRIVER = (
    WORKER
    + """
import json, signal
for line in sys.stdin:
    task = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.environ["GRADJAX_FAULT"] = task["fault"]
        if task["limit"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (task["limit"],) * 2)
        log = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout = open(1, "w", closefd=False, buffering=1)
        code = 1
        try:
            code = run(task["folder"])
        except KeyboardInterrupt:
            code = 130
        finally:
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
)
SEGMENTS = [f"segment-{k}" for k in range(4)]


@pytest.fixture(scope="module")
def sweep():
    """(folder, fault, limit of a file's bytes) -> exit code and what was printed."""
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdin is not None and driver.stdout is not None

    def run(folder, fault="", limit=0):
        log = folder.with_suffix(".log")
        task = {"folder": str(folder), "fault": fault, "limit": limit, "log": str(log)}
        print(json.dumps(task), file=driver.stdin, flush=True)
        return int(driver.stdout.readline()), log.read_text()

    yield run
    driver.stdin.close()
    driver.wait()
    driver.stdout.close()


@pytest.fixture(scope="module")
def untouched(sweep, tmp_path_factory):
    folder = tmp_path_factory.mktemp("untouched") / "sweep"
    assert sweep(folder)[0] == 0
    return left(folder)


def left(folder):
    """What a sweep leaves: sha256 of every file but the journal, and what that says."""
    hashes = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "journal.jsonl"
    }
    lines = []
    it = store.open_to_read(folder, say=lines.append)
    latest = store.latest_snapshot(it)
    assert lines == [] and latest is not None
    segments = {
        name: record["sha256"] for name, record in store.committed_segments(it).items()
    }
    return hashes, segments, store.events(it), latest[0]


def occurrences(point):
    stage = point.split(":")[0]
    if stage in ("open", "plan"):
        return [1]
    return [1, 2] if stage == "event" else [1, 3]


WINDOWS = [
    (point, nth)
    for point in faults.POINTS
    if point != "open:before_cut"  # needs a torn tail: below
    for nth in occurrences(point)
]


@pytest.mark.parametrize("action", ["kill", "enospc"])
@pytest.mark.parametrize(("point", "nth"), WINDOWS)
def test_rows_10_and_17_stopped_in_any_window_it_goes_on_to_the_same_bits(
    sweep, untouched, tmp_path, point, nth, action
):
    folder = tmp_path / "sweep"
    code, printed = sweep(folder, f"{point}:{nth}:{action}")
    if action == "kill":
        assert code == -signal.SIGKILL
    else:
        assert code == 2 and "Traceback" not in printed
        refusal = printed.strip().splitlines()[-1]
        assert refusal.startswith("refused: cannot write ")
        assert os.strerror(errno.ENOSPC) in refusal and str(folder) in refusal
    harmless = ("no run or sweep in", "is torn", "not in the journal")
    for line in store.verify(folder):
        assert any(words in line for words in harmless)
    committed = whole_segments(folder)
    code, printed = sweep(folder)
    assert code == 0
    ran = [line.split()[1] for line in printed.splitlines() if line.startswith("runs ")]
    assert ran == [name for name in SEGMENTS if name not in committed]
    assert left(folder) == untouched


def whole_segments(folder):
    if not (folder / "plan.json").exists():
        return set()
    return set(store.open_to_read(folder, say=lambda _: None).files)


@pytest.mark.parametrize(
    ("point", "is_committed"),
    [
        ("commit:before", False),
        ("commit:after_rename", False),
        ("commit:mid_journal", False),
        ("commit:after_journal", True),
    ],
)
def test_a_unit_counts_from_its_line_in_the_journal_on(
    sweep, tmp_path, point, is_committed
):
    folder = tmp_path / "sweep"
    sweep(folder, f"{point}:2:kill")
    names = SEGMENTS[: 2 if is_committed else 1]
    assert whole_segments(folder) == set(names)


@pytest.mark.parametrize("point", ["open:before_cut", "open:after_cut"])
def test_killed_while_it_cuts_a_torn_line(sweep, untouched, tmp_path, point):
    folder = tmp_path / "sweep"
    assert sweep(folder, "commit:mid_journal:3:kill")[0] == -signal.SIGKILL
    code, printed = sweep(folder, f"{point}:1:kill")
    assert code == -signal.SIGKILL and "is torn" in printed
    assert sweep(folder)[0] == 0
    assert left(folder) == untouched


def test_killed_again_and_again(sweep, untouched, tmp_path):
    folder = tmp_path / "sweep"
    for point in faults.POINTS[4:]:
        sweep(folder, f"{point}:1:kill")
    assert sweep(folder)[0] == 0
    assert left(folder) == untouched


@pytest.mark.parametrize("action", ["int", "term", "raise"])
@pytest.mark.parametrize("step", ["mid_write", "after_rename", "mid_journal"])
def test_row_9_left_at_once_the_store_is_valid(
    sweep, untouched, tmp_path, step, action
):
    folder = tmp_path / "sweep"
    code, _ = sweep(folder, f"commit:{step}:2:{action}")
    assert code == {"int": 130, "term": -signal.SIGTERM, "raise": 1}[action]
    assert whole_segments(folder) == {"segment-0"}
    if action != "term":  # python has unwound: nothing half-written is left
        assert not any("torn" in line for line in store.verify(folder))
        assert not list(folder.rglob("*.partial"))
    assert sweep(folder)[0] == 0
    assert left(folder) == untouched


@pytest.mark.parametrize("limit", [400, 1_000, 1_500, 2_000, 2_500])
def test_row_17_a_full_disk_stops_it_and_room_lets_it_go_on(
    sweep, untouched, tmp_path, limit
):
    """A file may not grow beyond `limit` bytes: first a segment, then the journal."""
    folder = tmp_path / "sweep"
    code, printed = sweep(folder, limit=limit)
    refusal = printed.strip().splitlines()[-1]
    assert code == 2 and "Traceback" not in printed
    assert refusal.startswith(f"refused: cannot write {folder}/")
    assert os.strerror(errno.EFBIG) in refusal
    committed = whole_segments(folder)
    if limit >= 2_500:
        assert "journal.jsonl" in refusal and committed
    code, again = sweep(folder, limit=limit)
    assert code == 2 and whole_segments(folder) == committed
    assert "torn" not in again  # what did not fit was taken back
    assert sweep(folder)[0] == 0
    assert left(folder) == untouched


@pytest.mark.slow
def test_from_the_command_line_too(untouched, tmp_path):
    folder = tmp_path / "sweep"
    command = [sys.executable, "-c", f"{WORKER}\nsys.exit(run(sys.argv[1]))", folder]
    environment = {**os.environ, faults.VARIABLE: "commit:after_rename:3:kill"}
    killed = subprocess.run(command, env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0 and again.stderr == ""
    assert "runs segment-2" in again.stdout and "runs segment-1" not in again.stdout
    assert left(folder) == untouched


def test_every_point_that_is_named_in_the_code_is_listed():
    root = Path(gradjax.__file__).parent
    named, stages = set(), set()
    texts = [path.read_text() for path in root.rglob("*.py")]
    for text in [text for text in texts if "faults" in text or "reached(" in text]:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "faults.reach",
                "reached",
            ):
                argument = node.args[0]
                if isinstance(argument, ast.Constant):
                    named.add(argument.value)
                elif isinstance(argument, ast.JoinedStr):
                    stages.add(ast.unparse(argument).split(":")[-1].strip("'\""))
    listed = {*faults.POINTS, *faults.COMPUTING}
    assert named <= listed
    rest = listed - named
    assert {point.split(":")[1] for point in rest} == stages
