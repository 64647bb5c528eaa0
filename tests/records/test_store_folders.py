import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from gradjax.errors import Refusal
from gradjax.records import store

NAMES = ["batch-0", "batch-1", "batch-2"]  # of the segments of `filled`


def test_row_16_foreign_files_are_ignored_with_a_line(folder, opened, filled):
    filled(folder)
    for name in ("notes.txt", "segments/mine.npz", "segments/.hidden", "snapshots/x"):
        (folder / name).write_bytes(b"")
    (folder / "segments" / "folder").mkdir()
    (folder / "pictures").mkdir()
    with pytest.raises(Refusal, match="segments/folder is not a plain file"):
        opened(folder)
    (folder / "segments" / "folder").rmdir()
    it, lines = opened(folder)
    assert list(store.committed_segments(it)) == NAMES
    assert len(lines) == 3
    for name in ("notes.txt", "mine.npz", ".hidden", "x", "pictures"):
        assert any(repr(name) in line for line in lines)
    store.close(it)
    assert store.verify(folder) == lines
    assert (folder / "notes.txt").exists()


@pytest.mark.parametrize("name", ["notes.txt", ".git", "segments", "snapshots"])
def test_row_16_a_foreign_folder_is_refused_and_left_alone(folder, name, opened):
    (folder / name).mkdir(parents=True)
    with pytest.raises(Refusal, match="no plan.json; name an empty folder"):
        opened(folder)
    assert [path.name for path in folder.iterdir()] == [name]
    for use in (store.status, lambda path: store.open_to_read(path, say=print)):
        with pytest.raises(Refusal):
            use(folder)
    assert store.verify(folder)


def test_an_empty_folder_is_begun_and_nothing_is_no_sweep(folder, opened):
    assert store.verify(folder) == [f"no run or sweep in {folder}"]
    with pytest.raises(Refusal, match="no run or sweep in"):
        store.status(folder)
    assert not folder.exists()
    folder.mkdir()
    it, lines = opened(folder)
    assert lines == [] and store.committed_segments(it) == {}
    assert store.latest_snapshot(it) is None
    store.close(it)


def test_row_18_no_folder_can_be_made_there(tmp_path, opened, one_line):
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
def test_row_18_an_unwritable_folder_is_refused(is_new, opened, filled, one_line):
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


def test_row_18_a_read_only_file_system_is_refused(folder, monkeypatch, opened, filled):
    filled(folder)

    def read_only(*_args, **_kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(Refusal, match="cannot write in .*Read-only file system"):
        opened(folder)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "/etc/x", "a..b", "a\0", "a\n", "é", "a b", "x" * 300, ".a"],
)
def test_row_36_names_of_units_are_plain(
    folder, name, arrays_of, opened, contents, one_line
):
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
def test_row_36_names_of_folders(tmp_path, name, opened):
    with pytest.raises(Refusal) as refusal:
        opened(tmp_path / name)
    assert "\n" not in str(refusal.value)


def test_row_36_unicode_spaces_and_a_later_chdir(
    tmp_path, monkeypatch, arrays_of, opened, same
):
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
def test_row_37_a_planted_link_is_refused(
    folder, tmp_path, name, is_dangling, opened, filled, contents, one_line
):
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


def test_row_37_the_folder_itself_may_be_a_link(folder, tmp_path, opened, filled):
    filled(folder)
    (tmp_path / "link").symlink_to(folder)
    it, lines = opened(tmp_path / "link")
    assert lines == [] and it.folder == folder.resolve()
    store.close(it)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(Refusal):
        opened(tmp_path / "loop")


def test_a_pipe_in_the_place_of_a_file_does_not_hang(folder, opened, filled):
    filled(folder)
    (folder / "journal.jsonl").unlink()
    os.mkfifo(folder / "journal.jsonl")
    with pytest.raises(Refusal, match="not a plain file"):
        opened(folder)


def test_a_link_in_the_place_of_a_temporary_file_is_replaced(
    folder, tmp_path, arrays_of, opened
):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    it, _ = opened(folder)
    (folder / "segments" / ".a.npz.partial").symlink_to(victim)
    store.commit(it, "a", arrays_of(0))
    store.close(it)
    assert victim.read_text() == "precious"
    assert not (folder / "segments" / "a.npz").is_symlink()
