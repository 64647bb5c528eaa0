import os
import pickle
import warnings

import numpy as np
import pytest

from gradjax.data.cache import map_or_make, read_or_make
from gradjax.data.mapped import Member
from gradjax.data.mapped_rows import Rows
from gradjax.errors import Refusal

ARRAYS = {"image": np.arange(48, dtype=np.uint8).reshape(4, 4, 3), "n": np.asarray(3)}


def make():
    return {name: values.copy() for name, values in ARRAYS.items()}


def fail():
    raise AssertionError("made again")


def assert_same(arrays):
    assert set(arrays) == set(ARRAYS)
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], values)
        assert arrays[name].dtype == values.dtype
        assert not arrays[name].flags.writeable


def test_the_second_call_reads(cache_home):
    assert_same(read_or_make("toy", make))
    assert_same(read_or_make("toy", fail))
    assert os.listdir(cache_home) == ["toy.npz"]


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "text", "folder"])
def test_a_damaged_file_is_made_again(cache_home, damage):
    read_or_make("toy", make)
    path = cache_home / "toy.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 8
    damaged = {"empty": b"", "truncated": content[:-40], "text": b"hello"}
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes(damaged.get(damage, content))
    with pytest.warns(UserWarning, match="rebuilding a data cache: .*toy.npz"):
        if damage == "folder":
            with pytest.warns(UserWarning, match="not cached"):
                assert_same(read_or_make("toy", make))
        else:
            assert_same(read_or_make("toy", make))
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert_same(read_or_make("toy", fail))


def test_a_cache_that_cannot_be_written_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="not cached"):
        assert_same(read_or_make("toy", make))


def test_a_full_disk_leaves_nothing_behind(cache_home, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        assert_same(read_or_make("toy", make))
    assert os.listdir(cache_home) == []


def test_a_refusal_passes_through_and_nothing_is_kept(cache_home):
    def refuse():
        raise Refusal("bad shard")

    with pytest.raises(Refusal, match="bad shard"):
        read_or_make("toy", refuse)
    assert not (cache_home / "toy.npz").exists()


def test_other_processes_map_what_no_cache_keeps(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    values = np.arange(12.0).reshape(4, 3)
    member = Member("x", values.shape, values.dtype, lambda: [values])
    with pytest.warns(UserWarning, match="decoded data is not cached"):
        found = map_or_make("toy", lambda: [member])
    again = pickle.loads(pickle.dumps(Rows(found)))
    np.testing.assert_array_equal(again.arrays["x"], values)
