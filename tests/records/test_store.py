import json
import os
import time

import numpy as np
import pytest

from gradjax import files
from gradjax.errors import Refusal
from gradjax.records import archive, journal, store

NAMES = ["batch-0", "batch-1", "batch-2"]  # of the segments of `filled`


def bfloat16():
    import jax.numpy as jnp

    return jnp.zeros(2, jnp.bfloat16)


def test_what_is_committed_is_read_back(folder, arrays_of, opened, filled, same):
    filled(folder)
    it, lines = opened(folder)
    assert lines == []
    assert list(store.committed_segments(it)) == NAMES
    record = store.committed_segments(it)["batch-1"]
    assert (record["trials"], record["seconds"]) == ([1, 2], 0.5)
    assert record["file"] == "segments/batch-1.npz"
    content = (folder / record["file"]).read_bytes()
    assert record["bytes"] == len(content)
    for k, name in enumerate(NAMES):
        assert same(store.read(it, name), arrays_of(k))
    assert store.events(it) == [
        {"round": k, "trials": [name]} for k, name in enumerate(NAMES)
    ]
    name, arrays = store.latest_snapshot(it)
    assert name == "step-2" and same(arrays, arrays_of(102))
    store.close(it)
    assert store.verify(folder) == []


def test_the_files_are_those_of_write_npz(tmp_path, folder, arrays_of, filled, same):
    filled(folder)
    files.write_npz(tmp_path / "a.npz", arrays_of(0))
    expected = files.read_npz(tmp_path / "a.npz")
    assert same(files.read_npz(folder / "segments" / "batch-0.npz"), expected)
    size = (tmp_path / "a.npz").stat().st_size
    assert (folder / "segments" / "batch-0.npz").stat().st_size == size


def test_what_is_committed_is_on_the_disk_in_this_order(
    folder, monkeypatch, arrays_of, opened
):
    it, _ = opened(folder)
    calls, fsync, replace = [], os.fsync, os.replace
    inodes = {
        folder.joinpath(name).stat().st_ino: name
        for name in ("journal.jsonl", "segments")
    }

    def synced(handle):
        state = os.fstat(handle)
        calls.append((inodes.get(state.st_ino, "file"), state.st_size))
        fsync(handle)

    def replaced(source, target):
        calls.append(("rename", target.name))
        replace(source, target)

    before = (folder / "journal.jsonl").stat().st_size
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    store.commit(it, "a", arrays_of(0))
    size = store.committed_segments(it)["a"]["bytes"]
    assert [call[0] for call in calls] == [
        "file",
        "rename",
        "segments",
        "journal.jsonl",
    ]
    assert calls[0][1] == size and calls[1][1] == "a.npz"
    assert calls[3][1] == (folder / "journal.jsonl").stat().st_size > before
    store.close(it)


def test_metadata_are_the_same_before_and_after_reopening(folder, arrays_of, opened):
    it, _ = opened(folder)
    metadata = {"best": np.float32(np.nan), "at": (1, 2), "lr": np.float64(0.1)}
    store.commit(it, "a", arrays_of(0), **metadata)
    store.append(it, {"ask": np.arange(3)})
    before = store.committed_segments(it), store.events(it)
    assert before[0]["a"]["best"] is None and before[0]["a"]["lr"] == 0.1
    store.close(it)
    it, _ = opened(folder)
    assert (store.committed_segments(it), store.events(it)) == before
    store.close(it)


def test_only_the_last_two_snapshots_are_kept(folder, filled):
    filled(folder)
    names = sorted(path.name for path in (folder / "snapshots").iterdir())
    assert names == ["step-1.npz", "step-2.npz"]
    assert store.status(folder)["snapshots"] == ["step-1", "step-2"]


def test_the_first_commit_wins_and_another_content_is_loud(
    folder, arrays_of, opened, filled, contents, one_line
):
    filled(folder)
    before = contents(folder)
    it, _ = opened(folder)
    again = dict(reversed(arrays_of(0).items()))  # neither order nor layout count
    again["weights/0"] = np.ascontiguousarray(again["weights/0"])
    store.commit(it, "batch-0", again, seconds=9.0)
    store.snapshot(it, "step-2", arrays_of(102))
    assert contents(folder) == before
    for change in (
        {"best": np.asarray(-np.nan)},
        {"loss": arrays_of(0)["loss"].astype(np.float64)},
        {"loss": arrays_of(0)["loss"].reshape(10, 4)},
        {"more": np.zeros(1)},
    ):
        with pytest.raises(Refusal, match="not deterministic") as refusal:
            store.commit(it, "batch-0", {**arrays_of(0), **change})
        assert "batch-0.npz" in one_line(refusal)
    with pytest.raises(Refusal, match="not deterministic"):
        store.snapshot(it, "step-2", arrays_of(0))
    assert contents(folder) == before
    store.close(it)


def test_it_is_open_only_once_and_read_beside_it(folder, arrays_of, opened, same):
    it, _ = opened(folder)
    with pytest.raises(Refusal, match=f"in use by process {os.getpid()} on"):
        opened(folder)
    store.commit(it, "a", arrays_of(0))
    assert store.status(folder)["owner"]["pid"] == os.getpid()
    reader = store.open_to_read(folder, say=pytest.fail)
    assert same(store.read(reader, "a"), arrays_of(0))
    for use in (
        lambda: store.commit(reader, "b", arrays_of(0)),
        lambda: store.append(reader, {}),
        lambda: store.snapshot(reader, "b", arrays_of(0)),
    ):
        with pytest.raises(Refusal, match="is open to read"):
            use()
    store.close(reader)
    store.close(it)
    store.close(it)
    with pytest.raises(Refusal, match="was closed"):
        store.commit(it, "b", arrays_of(0))
    store.close(opened(folder)[0])


def test_jax_arrays_are_taken_but_bfloat16_is_refused(folder, opened):
    import jax.numpy as jnp

    it, _ = opened(folder)
    store.commit(it, "a", {"x": jnp.arange(3)})
    assert store.read(it, "a")["x"].tolist() == [0, 1, 2]
    with pytest.raises(Refusal, match="bfloat16 as float32"):
        store.commit(it, "b", {"x": bfloat16()})
    store.close(it)


def test_reading_refuses_what_is_not_there_or_not_the_same(folder, opened, filled):
    filled(folder)
    it, _ = opened(folder)
    with pytest.raises(Refusal, match="did you mean"):
        store.read(it, "batch-9")
    with pytest.raises(Refusal, match=r"metadata \['bytes', 'file'\] are the store's"):
        store.commit(it, "a", {}, bytes=1, file="x")
    (folder / "segments" / "batch-0.npz").unlink()
    with pytest.raises(Refusal, match="batch-0.npz: missing; open the store again"):
        store.read(it, "batch-0")
    store.close(it)


def test_row_45_nothing_is_ordered_by_file_times(
    folder, monkeypatch, opened, filled, contents
):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 10**6 * len(os.listdir(folder)))
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    filled(folder)
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for k, path in enumerate(paths):  # the latest in name is the oldest in time
        os.utime(path, (10**9 - 10**6 * k, 10**9 - 10**6 * k))
    before = contents(folder)
    it, lines = opened(folder)
    assert lines == [] and list(store.committed_segments(it)) == NAMES
    assert store.latest_snapshot(it)[0] == "step-2"
    store.close(it)
    assert contents(folder) == before


def test_the_same_store_has_the_same_bytes(folder, tmp_path, filled, contents):
    filled(folder)
    filled(tmp_path / "again")
    assert contents(folder) == contents(tmp_path / "again")


def test_ten_thousand_units_open_in_a_moment(folder, opened):
    it, _ = opened(folder)
    lines = [
        {**archive.describe("segment", f"batch-{k}", b""), "digest": "0" * 64}
        | {"trials": list(range(4)), "seconds": 1.5, "best": [0.1] * 4}
        for k in range(10_000)
    ]
    it.journal.write(b"".join(map(journal.encode, lines)))
    store.close(it)
    start = time.perf_counter()
    assert store.status(folder)["num_segments"] == 10_000
    assert time.perf_counter() - start < 2.0


def test_status_counts(folder, plan, filled):
    filled(folder)
    found = store.status(folder)
    assert found["plan"] == json.loads(json.dumps(plan))
    sizes = [path.stat().st_size for path in (folder / "segments").iterdir()]
    assert (found["num_segments"], found["num_bytes"]) == (3, sum(sizes))
    assert (found["num_events"], found["num_damaged"]) == (3, 0)
    assert found["owner"] is None
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(b"torn")
    assert store.status(folder)["num_damaged"] == 1
