"""The arenas of the allocator in a process of its own."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, re, sys, threading
from gradjax.commands import allocation

sys.argv[1] == "one" and allocation.use_one_arena()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p


def allocate():
    libc.malloc(1000)
    waiting.wait()
    waiting.wait()


waiting = threading.Barrier(4)
threads = [threading.Thread(target=allocate) for _ in range(3)]
for one in threads:
    one.start()
waiting.wait()
libc.malloc_stats()
waiting.wait()
"""


def num_arenas(how, **variables):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how],
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.count("Arena ")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc is of Linux")
def test_threads_share_one_arena_unless_the_user_says_otherwise():
    usual = num_arenas("usual")
    if usual < 2:
        pytest.skip("the allocator of this system has one arena")
    assert num_arenas("one") == 1
    assert num_arenas("one", MALLOC_ARENA_MAX="3") > 1
