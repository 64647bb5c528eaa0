import errno
import json
import os
import pickle
import random
import shutil
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gradjax import files
from gradjax.errors import Refusal
from gradjax.records import archive, faults, journal, store
from gradjax.records.plan import read_plan

PLAN = {"space": {"learning_rate": "log(1e-4, 1)"}, "seeds": [0, 1], "kind": "trials"}
NAMES = ["batch-0", "batch-1", "batch-2"]


@pytest.fixture(autouse=True)
def _counts():
    faults.forget()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "sweep"


def arrays_of(k):
    rng = np.random.default_rng(k)
    return {
        "loss": rng.normal(size=(4, 10)).astype(np.float32),
        "weights/0": np.asfortranarray(rng.normal(size=(3, 5))),
        "diverged_step": np.asarray([0, 3, np.iinfo(np.int32).max], np.int32),
        "best": np.asarray(np.nan),
        "names": np.asarray(["a", "bcd"]),
    }


def opened(folder, plan=PLAN):
    lines = []
    return store.create_or_open(folder, plan, say=lines.append), lines


def filled(folder, names=NAMES):
    """A closed store of segments, an event each, and three snapshots."""
    it, _ = opened(folder)
    for k, name in enumerate(names):
        store.append(it, {"round": k, "trials": [name]})
        store.commit(it, name, arrays_of(k), trials=[k, k + 1], seconds=0.5)
        store.snapshot(it, f"step-{k}", arrays_of(100 + k))
    store.close(it)


def same(a, b):
    return list(a) == list(b) and all(
        a[name].dtype == b[name].dtype
        and a[name].shape == b[name].shape
        and a[name].tobytes() == b[name].tobytes()
        for name in a
    )


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def one_line(refusal):
    line = str(refusal.value)
    assert "\n" not in line and len(line) < 600
    return line


def test_what_is_committed_is_read_back(folder):
    filled(folder)
    it, lines = opened(folder)
    assert lines == []
    assert list(store.committed(it)) == NAMES
    record = store.committed(it)["batch-1"]
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


def test_the_files_are_those_of_write_npz(tmp_path, folder):
    filled(folder)
    files.write_npz(tmp_path / "a.npz", arrays_of(0))
    expected = files.read_npz(tmp_path / "a.npz")
    assert same(files.read_npz(folder / "segments" / "batch-0.npz"), expected)
    size = (tmp_path / "a.npz").stat().st_size
    assert (folder / "segments" / "batch-0.npz").stat().st_size == size


def test_what_is_committed_is_on_the_disk_in_this_order(folder, monkeypatch):
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
    size = store.committed(it)["a"]["bytes"]
    assert [call[0] for call in calls] == [
        "file",
        "rename",
        "segments",
        "journal.jsonl",
    ]
    assert calls[0][1] == size and calls[1][1] == "a.npz"
    assert calls[3][1] == (folder / "journal.jsonl").stat().st_size > before
    store.close(it)


def test_metadata_are_the_same_before_and_after_reopening(folder):
    it, _ = opened(folder)
    metadata = {"best": np.float32(np.nan), "at": (1, 2), "lr": np.float64(0.1)}
    store.commit(it, "a", arrays_of(0), **metadata)
    store.append(it, {"ask": np.arange(3)})
    before = store.committed(it), store.events(it)
    assert before[0]["a"]["best"] is None and before[0]["a"]["lr"] == 0.1
    store.close(it)
    it, _ = opened(folder)
    assert (store.committed(it), store.events(it)) == before
    store.close(it)


def test_only_the_last_two_snapshots_are_kept(folder):
    filled(folder)
    names = sorted(path.name for path in (folder / "snapshots").iterdir())
    assert names == ["step-1.npz", "step-2.npz"]
    assert store.status(folder)["snapshots"] == ["step-1", "step-2"]


def test_the_first_commit_wins_and_another_content_is_loud(folder):
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


def test_another_plan_is_refused_listing_both_values(folder):
    filled(folder)
    before = contents(folder)
    other = {
        "space": {"learning_rate": "log(1e-3, 1)"},
        "seeds": [0, 1],
        "kind": "trials",
        "halving": 3,
    }
    with pytest.raises(Refusal) as refusal:
        opened(folder, other)
    assert (
        'space.learning_rate "log(1e-4, 1)" there, "log(1e-3, 1)" asked; halving'
        " (none) there, 3 asked"
    ) in one_line(refusal)
    assert "seeds" not in one_line(refusal)
    assert contents(folder) == before
    it, _ = opened(folder, {**PLAN, "seeds": (0, 1)})  # the same, as JSON
    store.close(it)


def test_a_plan_of_many_differences_is_one_short_line(folder):
    opened_folder, _ = opened(folder, {f"key{k}": "x" * 500 for k in range(50)})
    store.close(opened_folder)
    with pytest.raises(Refusal, match="and 45 more") as refusal:
        opened(folder, {f"key{k}": "y" * 500 for k in range(50)})
    assert len(str(refusal.value)) < 1_500


def test_a_flipped_bit_in_the_plan_is_found_or_harmless(folder):
    filled(folder)
    path = folder / "plan.json"
    content = path.read_bytes()
    num_found = 0
    for bit in range(8 * len(content)):
        path.write_bytes(flip(content, bit))
        try:
            assert read_plan(folder) == PLAN
        except Refusal as refusal:
            assert str(path) in str(refusal)
            wrong = "put back a copy of it, or start in another folder", "has format"
            assert any(words in str(refusal) for words in wrong)
            num_found += 1
    num_blank = sum(byte in b" \n" for byte in content)
    assert num_found > 8 * (len(content) - num_blank) - 8  # 1e-4 is 1E-4


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\xfe", b"[" * 9_999])
def test_a_damaged_plan_is_refused(folder, content):
    filled(folder)
    (folder / "plan.json").write_bytes(content)
    for use in (lambda: opened(folder), lambda: store.status(folder)):
        with pytest.raises(Refusal, match="plan.json is damaged") as refusal:
            use()
        one_line(refusal)
    assert "plan.json is damaged" in store.verify(folder)[0]


def test_a_missing_plan_is_refused(folder):
    filled(folder)
    (folder / "plan.json").unlink()
    with pytest.raises(Refusal, match="plan.json is missing; put back a copy"):
        opened(folder)
    assert "plan.json is missing" in store.verify(folder)[0]


def flip(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_row_11_the_name_is_there_and_the_data_is_not(folder, length):
    filled(folder)
    before = contents(folder)
    path = folder / "segments" / "batch-1.npz"
    path.write_bytes(path.read_bytes()[:length])
    it, lines = opened(folder)
    assert list(store.committed(it)) == ["batch-0", "batch-2"]
    assert len(lines) == 1 and str(path) in lines[0] and "'batch-1'" in lines[0]
    store.commit(it, "batch-1", arrays_of(1), trials=[1, 2], seconds=0.5)
    assert len(lines) == 1
    store.close(it)
    assert contents(folder)["segments/batch-1.npz"] == before["segments/batch-1.npz"]
    assert store.verify(folder) == []


def test_row_12_a_torn_last_line_is_cut_before_the_next(folder):
    filled(folder, NAMES[:2])
    path = folder / "journal.jsonl"
    content = path.read_bytes()
    start = content[:-1].rindex(b"\n") + 2
    for length in [*range(start, len(content), 16), len(content) - 1]:
        path.write_bytes(content[:length])
        assert "is torn" in store.verify(folder)[0]
        assert path.stat().st_size == length  # verify changes nothing
        it, lines = opened(folder)
        assert "journal.jsonl: its last line, 6" in lines[0] and "is torn" in lines[0]
        store.snapshot(it, "step-1", arrays_of(101))
        store.close(it)
        assert path.read_bytes() == content
    assert store.verify(folder) == []


@pytest.mark.parametrize("name", ["segments/batch-1.npz", "snapshots/step-2.npz"])
def test_row_13_a_bit_flipped_in_a_file(folder, name):
    filled(folder)
    path = folder / name
    content = path.read_bytes()
    random.seed(13)
    for bit in random.sample(range(8 * len(content)), 50):
        path.write_bytes(flip(content, bit))
        assert any(name in line for line in store.verify(folder))
        it, lines = opened(folder)
        assert any(name in line for line in lines)
        if name.startswith("segments"):
            assert list(store.committed(it)) == ["batch-0", "batch-2"]
        else:
            assert list(store.committed(it)) == NAMES
            latest, arrays = store.latest_snapshot(it)
            assert latest == "step-1" and same(arrays, arrays_of(101))
        store.close(it)


def test_row_13_a_bit_flipped_in_the_journal(folder, tmp_path):
    filled(folder)
    content = (folder / "journal.jsonl").read_bytes()
    untouched = contents(folder)
    random.seed(14)
    for bit in random.sample(range(8 * len(content)), 50):
        copy = tmp_path / f"copy-{bit}"
        shutil.copytree(folder, copy)
        (copy / "journal.jsonl").write_bytes(flip(content, bit))
        assert store.verify(copy)
        it, lines = opened(copy)
        assert any("journal.jsonl: " in line for line in lines)
        for k, name in enumerate(NAMES):
            if name in store.committed(it):
                assert same(store.read(it, name), arrays_of(k))
            else:
                store.commit(it, name, arrays_of(k), trials=[k, k + 1], seconds=0.5)
        asked = [{"round": k, "trials": [name]} for k, name in enumerate(NAMES)]
        assert all(event in asked for event in store.events(it))
        assert sorted(store.committed(it)) == NAMES
        store.close(it)
        after = contents(copy)
        for name in NAMES:
            assert after[f"segments/{name}.npz"] == untouched[f"segments/{name}.npz"]


def test_a_damaged_line_in_the_middle_names_its_unit_until_it_is_done_again(folder):
    filled(folder)
    path = folder / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"trials":[1,2]', b'"trials":[1,3]'))
    it, lines = opened(folder)
    assert "line 5 (segment 'batch-1') is damaged" in lines[0]
    assert list(store.committed(it)) == ["batch-0", "batch-2"]
    store.commit(it, "batch-1", arrays_of(1))
    store.close(it)
    it, lines = opened(folder)
    assert lines == [] and sorted(store.committed(it)) == NAMES
    store.close(it)


def test_a_unit_computed_again_with_other_contents_is_said(folder):
    filled(folder)
    (folder / "segments" / "batch-1.npz").unlink()
    it, lines = opened(folder)
    store.commit(it, "batch-1", arrays_of(7))
    assert "'batch-1', computed again, differs" in lines[-1]
    store.close(it)
    it, lines = opened(folder)
    assert lines == [] and same(store.read(it, "batch-1"), arrays_of(7))
    store.close(it)


def test_row_14_missing_files_are_computed_again(folder):
    filled(folder)
    shutil.rmtree(folder / "segments")
    it, lines = opened(folder)
    assert store.committed(it) == {}
    assert [line.split(": ")[1].split(";")[0] for line in lines] == ["missing"] * 3
    store.close(it)
    (folder / "journal.jsonl").unlink()
    it, lines = opened(folder)
    assert store.committed(it) == {} and store.events(it) == []
    assert "not in the journal, ignored: 'step-1.npz', 'step-2.npz'" in lines[0]
    store.close(it)


def test_what_a_killed_writer_left_is_removed_and_not_called_foreign(folder):
    filled(folder)
    left = [folder / "segments" / ".batch-9.npz.partial", folder / ".plan.json.x1y2"]
    for path in left:
        path.write_bytes(b"half")
    assert store.verify(folder) == []
    it, lines = opened(folder)
    store.close(it)
    assert lines == [] and not any(path.exists() for path in left)


def test_many_missing_files_are_counted(folder):
    filled(folder, [f"u{k}" for k in range(30)])
    shutil.rmtree(folder / "segments")
    it, lines = opened(folder)
    store.close(it)
    assert len(lines) == 21 and lines[-1] == "... and 10 more files like these"


def snapshots_in(folder):
    return sorted(path.stem for path in (folder / "snapshots").iterdir())


@pytest.mark.parametrize("is_open", [False, True])
def test_row_15_a_bad_snapshot_falls_back_and_says_to_which(folder, is_open):
    filled(folder)
    it, lines = opened(folder)
    latest = folder / "snapshots" / "step-2.npz"
    latest.write_bytes(latest.read_bytes()[:-1])
    if not is_open:
        store.close(it)
        it, lines = opened(folder)
    name, arrays = store.latest_snapshot(it)
    assert name == "step-1" and same(arrays, arrays_of(101))
    assert len(lines) == 1 and str(latest) in lines[0] and "'step-1'" in lines[0]
    store.snapshot(it, "step-3", arrays_of(103))  # the bad one is not one of the two
    store.close(it)
    store.close(opened(folder)[0])
    assert snapshots_in(folder) == ["step-1", "step-3"]
    assert store.verify(folder) == []


def test_row_15_without_any_snapshot_there_is_none(folder):
    filled(folder)
    for name in ("step-1", "step-2"):
        (folder / "snapshots" / f"{name}.npz").unlink()
    it, lines = opened(folder)
    assert len(lines) == 2 and "going on from no snapshot" in lines[1]
    assert store.latest_snapshot(it) is None
    store.snapshot(it, "step-1", arrays_of(101))
    store.close(it)
    assert snapshots_in(folder) == ["step-1"]


def test_row_16_foreign_files_are_ignored_with_a_line(folder):
    filled(folder)
    for name in ("notes.txt", "segments/mine.npz", "segments/.hidden", "snapshots/x"):
        (folder / name).write_bytes(b"")
    (folder / "segments" / "folder").mkdir()
    (folder / "pictures").mkdir()
    with pytest.raises(Refusal, match="segments/folder is not a plain file"):
        opened(folder)
    (folder / "segments" / "folder").rmdir()
    it, lines = opened(folder)
    assert list(store.committed(it)) == NAMES
    assert len(lines) == 3
    for name in ("notes.txt", "mine.npz", ".hidden", "x", "pictures"):
        assert any(repr(name) in line for line in lines)
    store.close(it)
    assert store.verify(folder) == lines
    assert (folder / "notes.txt").exists()


@pytest.mark.parametrize("name", ["notes.txt", ".git", "segments", "snapshots"])
def test_row_16_a_foreign_folder_is_refused_and_left_alone(folder, name):
    (folder / name).mkdir(parents=True)
    with pytest.raises(Refusal, match="no plan.json; name an empty folder"):
        opened(folder)
    assert [path.name for path in folder.iterdir()] == [name]
    for use in (store.status, lambda path: store.open_to_read(path, say=print)):
        with pytest.raises(Refusal):
            use(folder)
    assert store.verify(folder)


def test_an_empty_folder_is_begun_and_nothing_is_no_sweep(folder):
    assert store.verify(folder) == [f"no run or sweep in {folder}"]
    with pytest.raises(Refusal, match="no run or sweep in"):
        store.status(folder)
    assert not folder.exists()
    folder.mkdir()
    it, lines = opened(folder)
    assert lines == [] and store.committed(it) == {}
    assert store.latest_snapshot(it) is None
    store.close(it)


def test_row_18_no_folder_can_be_made_there(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for path, words in (
        (tmp_path / "file", "it is a file"),
        (tmp_path / "file" / "sweep", "is not a folder"),
        (tmp_path / "no" / "parents", "mkdir -p"),
    ):
        with pytest.raises(Refusal, match=words) as refusal:
            opened(path)
        one_line(refusal)


@pytest.mark.parametrize("is_new", [True, False])
def test_row_18_an_unwritable_folder_is_refused(is_new):
    with tempfile.TemporaryDirectory() as parent:  # pytest's own is closed to others
        folder = Path(parent) / "sweep"
        folder.mkdir()
        if not is_new:
            filled(folder)
        for path in (folder, Path(parent)):
            path.chmod(0o555)
        try:
            if os.getuid() == 0:  # whom no mode stops
                os.seteuid(65_534)
            with pytest.raises(Refusal, match="cannot write in .*ermission") as refusal:
                opened(folder)
            one_line(refusal)
        finally:
            if os.getuid() == 0:
                os.seteuid(0)
            for path in (folder, Path(parent)):
                path.chmod(0o755)


def test_row_18_a_read_only_file_system_is_refused(folder, monkeypatch):
    filled(folder)

    def read_only(*_args, **_kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(Refusal, match="cannot write in .*Read-only file system"):
        opened(folder)


def test_it_is_open_only_once_and_read_beside_it(folder):
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


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "/etc/x", "a..b", "a\0", "a\n", "é", "a b", "x" * 300, ".a"],
)
def test_row_36_names_of_units_are_plain(folder, name):
    it, _ = opened(folder)
    before = contents(folder.parent)
    for use in (store.commit, store.snapshot):
        with pytest.raises(Refusal, match="a name has 1 to 200 of") as refusal:
            use(it, name, arrays_of(0))
        one_line(refusal)
    assert contents(folder.parent) == before
    store.commit(it, "x" * 200, arrays_of(0))
    store.commit(it, "A-z_0.9", arrays_of(0))
    store.close(it)


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "x" * 300, "/".join(["x"] * 3_000)])
def test_row_36_names_of_folders(tmp_path, name):
    with pytest.raises(Refusal) as refusal:
        opened(tmp_path / name)
    assert "\n" not in str(refusal.value)


def test_row_36_unicode_spaces_and_a_later_chdir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("mü run 'a'")
    it, _ = opened(folder)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    store.commit(it, "a", arrays_of(0))
    store.snapshot(it, "a", arrays_of(0))
    assert same(store.read(it, "a"), arrays_of(0))
    store.close(it)
    assert list((tmp_path / "other").iterdir()) == []
    assert (tmp_path / folder / "segments" / "a.npz").is_file()


@pytest.mark.parametrize(
    "name",
    ["plan.json", "journal.jsonl", ".lock", "segments", "segments/batch-0.npz"]
    + ["segments/new.npz", "snapshots", "snapshots/step-1.npz", "notes"],
)
@pytest.mark.parametrize("is_dangling", [False, True])
def test_row_37_a_planted_link_is_refused(folder, tmp_path, name, is_dangling):
    filled(folder)
    outside = tmp_path / "outside"
    path = folder / name
    if path.exists() and not is_dangling:
        path.rename(outside)
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(outside)
    before = contents(tmp_path)
    with pytest.raises(Refusal, match=f"{path} is a link; remove it") as refusal:
        opened(folder)
    one_line(refusal)
    assert "is a link" in store.verify(folder)[0]
    assert contents(tmp_path) == before


def test_row_37_the_folder_itself_may_be_a_link(folder, tmp_path):
    filled(folder)
    (tmp_path / "link").symlink_to(folder)
    it, lines = opened(tmp_path / "link")
    assert lines == [] and it.folder == folder.resolve()
    store.close(it)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(Refusal):
        opened(tmp_path / "loop")


def test_a_pipe_in_the_place_of_a_file_does_not_hang(folder):
    filled(folder)
    (folder / "journal.jsonl").unlink()
    os.mkfifo(folder / "journal.jsonl")
    with pytest.raises(Refusal, match="not a plain file"):
        opened(folder)


def test_a_link_in_the_place_of_a_temporary_file_is_replaced(folder, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    it, _ = opened(folder)
    (folder / "segments" / ".a.npz.partial").symlink_to(victim)
    store.commit(it, "a", arrays_of(0))
    store.close(it)
    assert victim.read_text() == "precious"
    assert not (folder / "segments" / "a.npz").is_symlink()


@pytest.mark.parametrize(
    "values",
    [np.asarray([None]), np.zeros(2, "V2"), np.zeros(2, [("a", "i4")]), lambda: 0],
)
def test_row_38_objects_are_not_written(folder, values):
    it, _ = opened(folder)
    with pytest.raises(Refusal, match="'a': array 'x' is"):
        store.commit(it, "a", {"x": values})
    with pytest.raises(Refusal, match="control characters"):
        store.commit(it, "a", {"x\0": np.zeros(1)})
    store.close(it)
    assert list((folder / "segments").iterdir()) == []


def bfloat16():
    import jax.numpy as jnp

    return jnp.zeros(2, jnp.bfloat16)


def test_jax_arrays_are_taken_but_bfloat16_is_refused(folder):
    import jax.numpy as jnp

    it, _ = opened(folder)
    store.commit(it, "a", {"x": jnp.arange(3)})
    assert store.read(it, "a")["x"].tolist() == [0, 1, 2]
    with pytest.raises(Refusal, match="bfloat16 as float32"):
        store.commit(it, "b", {"x": bfloat16()})
    store.close(it)


def forged(folder, write):
    """A segment whose file is another's work, with the journal's digest to match."""
    it, _ = opened(folder)
    path = folder / "segments" / "a.npz"
    with zipfile.ZipFile(path, "w") as zipped:
        write(zipped)
    described = archive.described("segment", "a", path.read_bytes())
    journal.append(it.journal, {**described, "digest": "0" * 64}, "commit")
    store.close(it)
    return opened(folder)[0]


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
def test_row_38_a_forged_file_is_refused(folder, write):
    it = forged(folder, write)
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
def test_row_38_a_forged_line_is_ignored(folder, change):
    it, _ = opened(folder)
    store.commit(it, "b", arrays_of(0))
    record = archive.described("segment", "a", b"") | {"digest": ""} | change
    journal.append(it.journal, record, "commit")
    store.append(it, {"round": 1})
    store.close(it)
    it, lines = opened(folder)
    assert list(store.committed(it)) == ["b"] and store.events(it) == [{"round": 1}]
    assert len(lines) == 1 and "a line that is not ours is ignored" in lines[0]
    store.close(it)


def test_reading_refuses_what_is_not_there_or_not_the_same(folder):
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


def test_row_45_nothing_is_ordered_by_file_times(folder, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 10**6 * len(os.listdir(folder)))
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    filled(folder)
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for k, path in enumerate(paths):  # the latest in name is the oldest in time
        os.utime(path, (10**9 - 10**6 * k, 10**9 - 10**6 * k))
    before = contents(folder)
    it, lines = opened(folder)
    assert lines == [] and list(store.committed(it)) == NAMES
    assert store.latest_snapshot(it)[0] == "step-2"
    store.close(it)
    assert contents(folder) == before


def test_the_same_store_has_the_same_bytes(folder, tmp_path):
    filled(folder)
    filled(tmp_path / "again")
    assert contents(folder) == contents(tmp_path / "again")


def test_ten_thousand_units_open_in_a_moment(folder):
    it, _ = opened(folder)
    lines = [
        {**archive.described("segment", f"batch-{k}", b""), "digest": "0" * 64}
        | {"trials": list(range(4)), "seconds": 1.5, "best": [0.1] * 4}
        for k in range(10_000)
    ]
    it.journal.write(b"".join(map(journal.encoded, lines)))
    store.close(it)
    start = time.perf_counter()
    assert store.status(folder)["num_segments"] == 10_000
    assert time.perf_counter() - start < 2.0


def test_status_counts(folder):
    filled(folder)
    found = store.status(folder)
    assert found["plan"] == json.loads(json.dumps(PLAN))
    sizes = [path.stat().st_size for path in (folder / "segments").iterdir()]
    assert (found["num_segments"], found["num_bytes"]) == (3, sum(sizes))
    assert (found["num_events"], found["num_damaged"]) == (3, 0)
    assert found["owner"] is None
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(b"torn")
    assert store.status(folder)["num_damaged"] == 1
