"""A store of three segments, and how the tests look at it."""

import numpy as np
import pytest

from gradjax.records import faults, store

PLAN = {"space": {"learning_rate": "log(1e-4, 1)"}, "seeds": [0, 1], "kind": "trials"}
NAMES = ["batch-0", "batch-1", "batch-2"]


@pytest.fixture(autouse=True)
def _counts():
    faults.forget()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "sweep"


@pytest.fixture(scope="session")
def plan():
    """The plan of a store that `opened` creates."""
    return PLAN


@pytest.fixture(scope="session")
def arrays_of():
    """Arrays of several types, shapes and layouts, by a number."""

    def make(k):
        rng = np.random.default_rng(k)
        return {
            "loss": rng.normal(size=(4, 10)).astype(np.float32),
            "weights/0": np.asfortranarray(rng.normal(size=(3, 5))),
            "diverged_step": np.asarray([0, 3, np.iinfo(np.int32).max], np.int32),
            "best": np.asarray(np.nan),
            "names": np.asarray(["a", "bcd"]),
        }

    return make


@pytest.fixture(scope="session")
def opened():
    """Opens a store to write: (store, the lines that were said)."""

    def open_it(folder, plan=PLAN):
        lines = []
        return store.create_or_open(folder, plan, say=lines.append), lines

    return open_it


@pytest.fixture(scope="session")
def filled(opened, arrays_of):
    """Leaves a closed store of segments, an event each, and three snapshots."""

    def fill(folder, names=NAMES):
        it, _ = opened(folder)
        for k, name in enumerate(names):
            store.append(it, {"round": k, "trials": [name]})
            store.commit(it, name, arrays_of(k), trials=[k, k + 1], seconds=0.5)
            store.snapshot(it, f"step-{k}", arrays_of(100 + k))
        store.close(it)

    return fill


@pytest.fixture(scope="session")
def same():
    """Whether two dictionaries hold the same arrays, bit by bit."""

    def compare(a, b):
        return list(a) == list(b) and all(
            a[name].dtype == b[name].dtype
            and a[name].shape == b[name].shape
            and a[name].tobytes() == b[name].tobytes()
            for name in a
        )

    return compare


@pytest.fixture(scope="session")
def contents():
    """The bytes of every file below a folder, except those of the lock."""

    def read(folder):
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != ".lock"
        }

    return read


@pytest.fixture(scope="session")
def one_line():
    """The message of a refusal, which is one line."""

    def line_of(refusal):
        line = str(refusal.value)
        assert "\n" not in line and len(line) < 600
        return line

    return line_of


@pytest.fixture(scope="session")
def flip():
    """Flips one bit of some bytes."""

    def flipped(content, bit):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    return flipped
