import os
import pickle
import zipfile

import numpy as np
import pytest

from gradjax.errors import Refusal
from gradjax.records import archive, journal, store


def npy(header):
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


class Trap:
    def __reduce__(self):
        return (os._exit, (77,))


def twice(zipped):
    with pytest.warns(UserWarning, match="Duplicate name"):
        for _ in range(2):
            zipped.writestr("x.npy", npy("{'descr': '<f4', 'fortran_order': False,"))


@pytest.fixture
def forged(folder, opened):
    """A segment whose file is another's work, with the journal's digest to match."""

    def forge(write):
        it, _ = opened(folder)
        path = folder / "segments" / "a.npz"
        with zipfile.ZipFile(path, "w") as zipped:
            write(zipped)
        described = archive.describe("segment", "a", path.read_bytes())
        journal.append(it.journal, {**described, "digest": "0" * 64}, "commit")
        store.close(it)
        return opened(folder)[0]

    return forge


@pytest.mark.parametrize(
    "values",
    [np.asarray([None]), np.zeros(2, "V2"), np.zeros(2, [("a", "i4")]), lambda: 0],
)
def test_row_38_objects_are_not_written(folder, values, opened):
    it, _ = opened(folder)
    with pytest.raises(Refusal, match="'a': array 'x' is"):
        store.commit(it, "a", {"x": values})
    with pytest.raises(Refusal, match="control characters"):
        store.commit(it, "a", {"x\0": np.zeros(1)})
    store.close(it)
    assert list((folder / "segments").iterdir()) == []


@pytest.mark.parametrize(
    "write",
    [
        lambda zipped: zipped.writestr(
            "x.npy",
            npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }")
            + pickle.dumps([Trap()]),
        ),
        lambda zipped: zipped.writestr(
            "x.npy",
            npy("{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000000,), }")
            + bytes(8),
        ),
        lambda zipped: zipped.writestr(
            "x.npy", bytes(10**6), compress_type=zipfile.ZIP_DEFLATED
        ),
        twice,
    ],
)
def test_row_38_a_forged_file_is_refused(forged, write, one_line):
    it = forged(write)
    try:
        with pytest.raises(Refusal, match="a.npz") as refusal:
            store.read(it, "a")
        one_line(refusal)
    finally:
        store.close(it)


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../outside.npz"},
        {"file": "/etc/passwd"},
        {"file": "segments/b.npz"},
        {"name": "../a"},
        {"name": 3},
        {"kind": "other"},
        {"bytes": "12"},
        {"sha256": None},
    ],
)
def test_row_38_a_forged_line_is_ignored(folder, change, arrays_of, opened):
    it, _ = opened(folder)
    store.commit(it, "b", arrays_of(0))
    record = archive.describe("segment", "a", b"") | {"digest": ""} | change
    journal.append(it.journal, record, "commit")
    store.append(it, {"round": 1})
    store.close(it)
    it, lines = opened(folder)
    assert list(store.committed_segments(it)) == ["b"] and store.events(it) == [
        {"round": 1}
    ]
    assert len(lines) == 1 and "a line that is not ours is ignored" in lines[0]
    store.close(it)
