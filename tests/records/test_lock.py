import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from gradjax.errors import Refusal
from gradjax.records import lock

HOLD = """
import errno, fcntl, sys
from pathlib import Path
from gradjax.records import lock

def refuse(*_):
    raise OSError(errno.ENOLCK, "no locks available")

if sys.argv[2] == "lease":
    fcntl.flock = refuse
held = lock.acquire(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def holder(folder, kind):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def killed(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()


@pytest.fixture
def no_flock(monkeypatch, request):
    number = getattr(request, "param", errno.ENOLCK)

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def sign(path, pid, host=None):
    line = {"pid": pid, "host": host or socket.gethostname(), "since": "yesterday"}
    path.write_text(json.dumps(line))


@pytest.mark.parametrize("kind", ["flock", "lease"])
@pytest.mark.slow
def test_the_second_process_is_refused_until_the_first_is_killed(
    tmp_path, kind, monkeypatch
):
    if kind == "lease":
        monkeypatch.setattr(fcntl, "flock", _unsupported)
    process = holder(tmp_path, kind)
    try:
        with pytest.raises(Refusal) as refusal:
            lock.acquire(tmp_path)
        line = str(refusal.value)
        host = socket.gethostname()
        assert f"in use by process {process.pid} on {host} since 20" in line
        assert "\n" not in line
        assert lock.owner(tmp_path)["pid"] == process.pid
    finally:
        killed(process)
    assert lock.owner(tmp_path) is None
    held = lock.acquire(tmp_path)
    assert lock.owner(tmp_path)["pid"] == os.getpid()
    lock.release(held)
    lock.release(held)
    assert lock.owner(tmp_path) is None


def _unsupported(*_):
    raise OSError(errno.ENOSYS, "not implemented")


def test_one_process_does_not_hold_it_twice(tmp_path):
    held = lock.acquire(tmp_path)
    with pytest.raises(Refusal, match=f"process {os.getpid()} "):
        lock.acquire(tmp_path)
    lock.release(held)
    lock.release(lock.acquire(tmp_path))


@pytest.mark.parametrize(
    "no_flock", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS], indirect=True
)
@pytest.mark.usefixtures("no_flock")
def test_without_flock_a_lease_file_does_it(tmp_path):
    held = lock.acquire(tmp_path)
    lease = tmp_path / lock.LEASE
    assert json.loads(lease.read_text())["pid"] == os.getpid()
    with pytest.raises(Refusal, match=f"if it is gone for certain, remove {lease}"):
        lock.acquire(tmp_path)
    lock.release(held)
    assert not lease.exists()


@pytest.mark.usefixtures("no_flock")
def test_a_dead_process_lease_is_taken_over(tmp_path):
    sign(tmp_path / lock.LEASE, dead_pid())
    held = lock.acquire(tmp_path)
    assert lock.owner(tmp_path)["pid"] == os.getpid()
    lock.release(held)
    assert sorted(path.name for path in tmp_path.iterdir()) == [lock.LOCK]


@pytest.mark.usefixtures("no_flock")
@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b'{"pid": "x"}'])
def test_a_lease_whose_owner_may_live_is_refused(tmp_path, content):
    lease = tmp_path / lock.LEASE
    if content is None:
        sign(lease, dead_pid(), host="elsewhere")
    else:
        lease.write_bytes(content)
    before = lease.read_bytes()
    with pytest.raises(Refusal, match=f"remove {lease}"):
        lock.acquire(tmp_path)
    assert lease.read_bytes() == before


def test_with_flock_a_living_lease_still_counts(tmp_path):
    sign(tmp_path / lock.LEASE, 1, host="elsewhere")
    with pytest.raises(Refusal, match="process 1 on elsewhere since yesterday"):
        lock.acquire(tmp_path)
    sign(tmp_path / lock.LEASE, dead_pid())
    lock.release(lock.acquire(tmp_path))
    assert not (tmp_path / lock.LEASE).exists()


@pytest.mark.usefixtures("no_flock")
def test_of_two_takeovers_the_later_puts_the_fresh_lease_back(tmp_path, monkeypatch):
    lease = tmp_path / lock.LEASE
    sign(lease, dead_pid())
    rename = os.rename

    def beaten(source, target):
        sign(lease, os.getppid())  # another process was faster
        rename(source, target)

    monkeypatch.setattr(os, "rename", beaten)
    with pytest.raises(Refusal, match=f"process {os.getppid()} "):
        lock.acquire(tmp_path)
    assert json.loads(lease.read_text())["pid"] == os.getppid()


@pytest.mark.usefixtures("no_flock")
def test_a_lease_that_cannot_be_signed_is_not_left(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(lock, "write_all", full)
    with pytest.raises(OSError, match="full"):
        lock.acquire(tmp_path)
    assert not (tmp_path / lock.LEASE).exists()


@pytest.mark.parametrize("name", [lock.LOCK, lock.LEASE])
def test_a_planted_link_is_not_written_through(tmp_path, request, name):
    folder, victim = tmp_path / "folder", tmp_path / "victim"
    folder.mkdir()
    victim.write_text("precious")
    (folder / name).symlink_to(victim)
    if name == lock.LEASE:
        request.getfixturevalue("no_flock")
    with pytest.raises((OSError, Refusal)):
        lock.acquire(folder)
    assert victim.read_text() == "precious"
