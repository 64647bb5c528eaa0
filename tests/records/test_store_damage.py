import random
import shutil

import pytest

from gradjax.records import store

NAMES = ["batch-0", "batch-1", "batch-2"]  # of the segments of `filled`


def snapshots_in(folder):
    return sorted(path.stem for path in (folder / "snapshots").iterdir())


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_row_11_the_name_is_there_and_the_data_is_not(
    folder, length, arrays_of, opened, filled, contents
):
    filled(folder)
    before = contents(folder)
    path = folder / "segments" / "batch-1.npz"
    path.write_bytes(path.read_bytes()[:length])
    it, lines = opened(folder)
    assert list(store.committed_segments(it)) == ["batch-0", "batch-2"]
    assert len(lines) == 1 and str(path) in lines[0] and "'batch-1'" in lines[0]
    store.commit(it, "batch-1", arrays_of(1), trials=[1, 2], seconds=0.5)
    assert len(lines) == 1
    store.close(it)
    assert contents(folder)["segments/batch-1.npz"] == before["segments/batch-1.npz"]
    assert store.verify(folder) == []


def test_row_12_a_torn_last_line_is_cut_before_the_next(
    folder, arrays_of, opened, filled
):
    filled(folder, NAMES[:2])
    path = folder / "journal.jsonl"
    content = path.read_bytes()
    start = content[:-1].rindex(b"\n") + 2
    for length in [*range(start, len(content), 16), len(content) - 1]:
        path.write_bytes(content[:length])
        assert "is torn" in store.verify(folder)[0]
        assert path.stat().st_size == length  # verify changes nothing
        it, lines = opened(folder)
        assert "journal.jsonl: its last line, 7" in lines[0] and "is torn" in lines[0]
        store.snapshot(it, "step-1", arrays_of(101))
        store.close(it)
        assert path.read_bytes() == content
    assert store.verify(folder) == []


@pytest.mark.parametrize("name", ["segments/batch-1.npz", "snapshots/step-2.npz"])
def test_row_13_a_bit_flipped_in_a_file(
    folder, name, arrays_of, opened, filled, same, flip
):
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
            assert list(store.committed_segments(it)) == ["batch-0", "batch-2"]
        else:
            assert list(store.committed_segments(it)) == NAMES
            latest, arrays = store.latest_snapshot(it)
            assert latest == "step-1" and same(arrays, arrays_of(101))
        store.close(it)


def test_row_13_a_bit_flipped_in_the_journal(
    folder, tmp_path, arrays_of, opened, filled, same, contents, flip
):
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
            if name in store.committed_segments(it):
                assert same(store.read(it, name), arrays_of(k))
            else:
                store.commit(it, name, arrays_of(k), trials=[k, k + 1], seconds=0.5)
        asked = [{"round": k, "trials": [name]} for k, name in enumerate(NAMES)]
        assert all(event in asked for event in store.events(it))
        assert sorted(store.committed_segments(it)) == NAMES
        store.close(it)
        after = contents(copy)
        for name in NAMES:
            assert after[f"segments/{name}.npz"] == untouched[f"segments/{name}.npz"]


def test_a_damaged_line_in_the_middle_names_its_unit_until_it_is_done_again(
    folder, arrays_of, opened, filled
):
    filled(folder)
    path = folder / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"trials":[1,2]', b'"trials":[1,3]'))
    it, lines = opened(folder)
    assert "line 6 (segment 'batch-1') is damaged" in lines[0]
    assert list(store.committed_segments(it)) == ["batch-0", "batch-2"]
    store.commit(it, "batch-1", arrays_of(1))
    store.close(it)
    it, lines = opened(folder)
    assert lines == [] and sorted(store.committed_segments(it)) == NAMES
    store.close(it)


def test_a_unit_computed_again_with_other_contents_is_said(
    folder, arrays_of, opened, filled, same
):
    filled(folder)
    (folder / "segments" / "batch-1.npz").unlink()
    it, lines = opened(folder)
    store.commit(it, "batch-1", arrays_of(7))
    assert "'batch-1', computed again, differs" in lines[-1]
    store.close(it)
    it, lines = opened(folder)
    assert lines == [] and same(store.read(it, "batch-1"), arrays_of(7))
    store.close(it)


def test_row_14_missing_files_are_computed_again(folder, opened, filled):
    filled(folder)
    shutil.rmtree(folder / "segments")
    it, lines = opened(folder)
    assert store.committed_segments(it) == {}
    assert [line.split(": ")[1].split(";")[0] for line in lines] == ["missing"] * 3
    store.close(it)
    (folder / "journal.jsonl").unlink()
    it, lines = opened(folder)
    assert store.committed_segments(it) == {} and store.events(it) == []
    assert "not in the journal, ignored: 'step-1.npz', 'step-2.npz'" in lines[0]
    store.close(it)


def test_what_a_killed_writer_left_is_removed_and_not_called_foreign(
    folder, opened, filled
):
    filled(folder)
    left = [folder / "segments" / ".batch-9.npz.partial", folder / ".plan.json.x1y2"]
    for path in left:
        path.write_bytes(b"half")
    assert store.verify(folder) == []
    it, lines = opened(folder)
    store.close(it)
    assert lines == [] and not any(path.exists() for path in left)


def test_many_missing_files_are_counted(folder, opened, filled):
    filled(folder, [f"u{k}" for k in range(30)])
    shutil.rmtree(folder / "segments")
    it, lines = opened(folder)
    store.close(it)
    assert len(lines) == 21 and lines[-1] == "... and 10 more files like these"


@pytest.mark.parametrize("is_open", [False, True])
def test_row_15_a_bad_snapshot_falls_back_and_says_to_which(
    folder, is_open, arrays_of, opened, filled, same
):
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


def test_row_15_without_any_snapshot_there_is_none(folder, arrays_of, opened, filled):
    filled(folder)
    for name in ("step-1", "step-2"):
        (folder / "snapshots" / f"{name}.npz").unlink()
    it, lines = opened(folder)
    assert len(lines) == 2 and "going on from no snapshot" in lines[1]
    assert store.latest_snapshot(it) is None
    store.snapshot(it, "step-1", arrays_of(101))
    store.close(it)
    assert snapshots_in(folder) == ["step-1"]
