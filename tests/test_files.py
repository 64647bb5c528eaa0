import io
import json
import os
import random
import resource
import stat
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from gradjax import files
from gradjax.errors import Refusal

ARRAYS = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "scalar": np.asarray(3),
    "empty": np.zeros((0, 3), np.float32),
    "text": np.asarray(["ab", "c"]),
    "flags": np.asarray([True, False]),
    "layer/bias": np.asarray([np.nan, -0.0, np.inf]),
    "file": np.ones(2),  # np.savez's own argument names
    "allow_pickle": np.zeros(2),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "arrays.npz"


def described(arrays):
    return {
        name: (value.dtype, value.shape, value.tobytes())
        for name, value in arrays.items()
    }


def test_npz_round_trip(path):
    files.write_npz(path, ARRAYS)
    again = files.read_npz(path)
    assert list(again) == list(ARRAYS)
    assert described(again) == described(ARRAYS)
    first = path.read_bytes()
    files.write_npz(path, ARRAYS)
    assert path.read_bytes() == first
    with np.load(path) as library:  # anyone can open it
        assert described(dict(library)) == described(ARRAYS)


def test_an_empty_archive_round_trips(path):
    files.write_npz(path, {})
    assert files.read_npz(path) == {}


def test_an_object_is_not_written(path):
    with pytest.raises(ValueError, match="pickle|Object"):
        files.write_npz(path, {"x": np.asarray([object()])})
    assert not path.exists() and not list(path.parent.iterdir())


def member(array, allow_pickle=False):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def with_shape(shape, content=b"12345678", descr="<f8"):
    file = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


class Exploding:
    def __reduce__(self):
        return (os.mkdir, ("/proc/exploded",))


SUSPECT = {
    "pickled objects": {"x.npy": member(np.asarray([Exploding()]), allow_pickle=True)},
    "a huge shape": {"x.npy": with_shape((2**60,))},
    "a shape that overflows": {"x.npy": with_shape((2**32, 2**32))},
    "a negative shape": {"x.npy": with_shape((-1, -1))},
    "more bytes than the shape": {"x.npy": with_shape((1,), b"0" * 9)},
    "fewer bytes than the shape": {"x.npy": with_shape((2,))},
    "an itemsize of zero": {"x.npy": with_shape((1,), b"", "|S0")},
    "not an array": {"x.npy": b"hello"},
    "nothing": {"x.npy": b""},
    "a header that is no literal": {
        "x.npy": b"\x93NUMPY\x01\x00\x12\x00__import__('os')\n "
    },
    "a header beyond the member": {"x.npy": b"\x93NUMPY\x01\x00\xff\xff{}"},
    "another format version": {"x.npy": b"\x93NUMPY\x03\x00" + bytes(8)},
    "one name with and without .npy": {
        "x.npy": member(np.ones(1)),
        "x": member(np.zeros(1)),
    },
}


@pytest.mark.parametrize("case", SUSPECT)
def test_a_suspect_archive_is_refused_in_one_line(case, path):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in SUSPECT[case].items():
            archive.writestr(name, content)
    assert_refused(path)


def assert_refused(path):
    with pytest.raises(Refusal) as refused:
        files.read_npz(path)
    assert str(path) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_two_members_of_one_name_are_refused(path):
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning):
        archive.writestr("x.npy", member(np.ones(1)))
        archive.writestr("x.npy", member(np.zeros(1)))
    assert_refused(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_compressed_member_is_refused_before_it_is_unpacked(method, path):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.npy", member(np.zeros(1_000_000)))
    assert path.stat().st_size < 10_000
    assert_refused(path)


def test_what_is_no_archive_is_refused(path, tmp_path):
    for content in (b"", b"hello", bytes(1_000)):
        path.write_bytes(content)
        assert_refused(path)
    assert_refused(tmp_path)
    with pytest.raises(FileNotFoundError):
        files.read_npz(tmp_path / "absent.npz")


def test_every_truncation_is_refused(path):
    files.write_npz(path, {"x": np.arange(4), "y": np.ones((2, 2))})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(Refusal):
            files.read_npz(path)


def assert_no_silent_flip(path, bits):
    whole = path.read_bytes()
    expected = described(files.read_npz(path))
    num_refused = 0
    for bit in bits:
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            # What zip keeps twice, or never uses, may flip without harm.
            assert described(files.read_npz(path)) == expected, f"bit {bit}"
        except Refusal as refused:
            assert str(path) in str(refused) and len(str(refused).splitlines()) == 1
            num_refused += 1
    path.write_bytes(whole)
    return num_refused


def test_no_flipped_bit_is_read_as_other_arrays(path):
    files.write_npz(path, ARRAYS)
    bits = random.Random(0).sample(range(8 * path.stat().st_size), 50)
    assert assert_no_silent_flip(path, bits) > 25


@pytest.mark.slow
def test_no_flipped_bit_of_the_directory_loses_a_member(path):
    """A comment's length that flips makes zipfile swallow the members after it."""
    files.write_npz(path, {"x": np.arange(4), "y": np.ones(2), "z": np.ones(3)})
    start = path.read_bytes().index(b"PK\x01\x02")
    bits = range(8 * start, 8 * path.stat().st_size)
    assert assert_no_silent_flip(path, bits) > len(bits) / 3


def test_a_file_is_the_old_one_or_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    files.write_bytes(path, b"old")
    for name in ("replace", "fsync", "chmod"):

        def broken(*_, name=name):
            raise OSError(28, f"no space in {name}")

        with monkeypatch.context() as patch:
            patch.setattr(os, name, broken)
            with pytest.raises(OSError, match="no space"):
                files.write_bytes(path, b"new")
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]
    files.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_content_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    events = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def noted(*args, name=name, real=real):
            is_folder = name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode)
            events.append("fsync folder" if is_folder else name)
            return real(*args)

        monkeypatch.setattr(os, name, noted)
    files.write_bytes(tmp_path / "x", b"content")
    assert events == ["fsync", "replace", "fsync folder"]


KILLED = """
import os, pathlib, signal, sys
from gradjax import files
name, path = sys.argv[1], pathlib.Path(sys.argv[2])
setattr(os, name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
files.write_bytes(path, b"new")
"""


@pytest.mark.parametrize(
    ("name", "left"), [("fsync", b"old"), ("chmod", b"old"), ("replace", b"old")]
)
@pytest.mark.slow
def test_a_kill_leaves_the_old_file(name, left, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    process = subprocess.run([sys.executable, "-c", KILLED, name, path], check=False)
    assert process.returncode == -9
    assert path.read_bytes() == left


def test_a_full_disk_leaves_what_was_there(tmp_path):
    """RLIMIT_FSIZE gives a full disk without root."""
    import signal

    path = tmp_path / "x"
    files.write_bytes(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
        with pytest.raises(OSError):
            files.write_bytes(path, bytes(5_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_has_no_nan(tmp_path):
    path = tmp_path / "x.json"
    value = {"a": [float("nan"), np.float32(1.5), (np.inf, -np.inf)], "b": np.int64(3)}
    files.write_json(path, value | {"c": None, "d": True, "e": "é\n", "f": np.bool_(1)})
    text = path.read_text()
    assert text.endswith("\n") and "NaN" not in text and "Infinity" not in text
    expected = {"a": [None, 1.5, [None, None]], "b": 3, "c": None, "d": True}
    assert json.loads(text) == expected | {"e": "é\n", "f": True}


def test_a_digest_covers_names_contents_and_order(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    digest = files.sha256(one, other)
    assert len(digest) == 64 and digest == files.sha256(one, other)
    assert files.sha256(other, one) != digest
    other.write_bytes(b"3")
    assert files.sha256(one, other) != digest
    same = tmp_path / "same"
    same.write_bytes(b"1")
    assert files.sha256(same) != files.sha256(one)


def test_disk_errors_name_the_folder(tmp_path):
    folder = tmp_path / "absent"
    refused = pytest.raises(Refusal, match="cannot write in .*absent: No such file")
    with refused, files.named_disk_errors(folder):
        files.write_bytes(folder / "x", b"")


@pytest.mark.parametrize("root", ["", "relative/folder"])
def test_the_cache_is_at_home_without_an_absolute_root(root, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", root)
    assert files.cache_folder() == tmp_path / ".cache" / "gradjax"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert files.cache_folder() == tmp_path / "xdg" / "gradjax"


def test_eocd_layout_is_what_the_flips_assume(path):
    files.write_npz(path, ARRAYS)
    *_, count, size, _, comment = struct.unpack("<4s4H2LH", path.read_bytes()[-22:])
    assert (count, comment) == (len(ARRAYS), 0) and size > 0
