"""Compiled programs that are kept, and damaged: row 21 of what a command lives with."""

import os
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import pytest

from gradjax.commands import compilation_cache

ROOT = Path(__file__).resolve().parents[2]
RUN = ("--dataset=digits", "--optimizer=sgd", "--steps=4", "--noplot", "--seeds=1")
# A codec without a checksum, as zstd's frames are; JAX takes it for the package.
CODEC = """
import zlib
MAGIC = b"\\x28\\xb5\\x2f\\xfd"
class ZstdCompressor:
    def compress(self, content):
        return MAGIC + content
class ZstdDecompressor:
    def decompress(self, content):
        return content[len(MAGIC):]
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """(folder, cache, more on the import path) -> what the run said; runs mnist."""
    work = tmp_path_factory.mktemp("work")

    def run(name, cache, path="", **environment):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
        paths = {"PYTHONPATH": f"{ROOT}:{path}", "XDG_CACHE_HOME": str(cache)}
        done = subprocess.run(
            [sys.executable, "-m", "experiments.mnist", *RUN, f"--workdir={name}"],
            cwd=work,
            env=kept | paths | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr, computed(work / name)

    return run


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    """A cache that a run filled, and the bits that the run left."""
    cache = tmp_path_factory.mktemp("cache")
    said, results = command("whole", cache)
    assert said == ""
    return cache, results


def computed(folder):
    """The stored results of a run, byte for byte."""
    paths = [*folder.glob("segments/*.npz"), *folder.glob("params/*.npz")]
    assert len(paths) >= 2
    return {path.name: path.read_bytes() for path in paths}


def entries(cache):
    found = sorted((cache / "gradjax" / "xla").glob("*-cache"))
    assert len(found) >= 4
    return found


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


@pytest.mark.slow
def test_row_21_damaged_entries_are_compiled_again_with_one_line(command, whole):
    cache, results = whole
    damaged = entries(cache)
    contents = [path.read_bytes() for path in damaged]
    changes = [
        lambda content: content[: len(content) // 2],
        lambda _: b"not a program at all",
        lambda content: flipped(content, len(content) // 2),
        lambda _: b"",
        lambda content: flipped(content, 0),
    ]
    for k, path in enumerate(damaged):
        path.write_bytes(changes[k % len(changes)](contents[k]))
    said, again = command("damaged", cache)
    assert again == results
    count, _, rest = said.partition(" ")
    assert int(count) == len(damaged), said
    folder = cache / "gradjax" / "xla"
    assert rest == f"compiled programs are damaged in {folder}: compiled again\n"
    assert entries(cache) == damaged, "kept again"
    said, again = command("mended", cache)
    assert said == "" and again == results


@pytest.mark.slow
def test_row_21_a_codec_without_a_checksum_gets_a_seal(command, whole, tmp_path):
    (tmp_path / "zstandard.py").write_text(CODEC)
    said, results = command("sealed", tmp_path, path=tmp_path)
    assert said == "" and results == whole[1]
    kept = entries(tmp_path)
    assert all(path.read_bytes().startswith(b"\x28\xb5") for path in kept)
    for path in kept:
        assert path.with_name(f"{path.name}.sha256").is_file()
        content = path.read_bytes()
        path.write_bytes(flipped(content, len(content) // 2))
    kept[-1].with_name(f"{kept[-1].name}.sha256").unlink()
    said, results = command("unsealed", tmp_path, path=tmp_path)
    assert said.startswith(f"{len(kept) - 1} compiled programs are damaged in ")
    assert said.count("\n") == 1 and results == whole[1]
    assert command("resealed", tmp_path, path=tmp_path) == ("", whole[1])


@pytest.mark.slow
def test_a_folder_that_takes_nothing_is_said_once(command, whole, tmp_path):
    (tmp_path / "gradjax").mkdir()
    (tmp_path / "gradjax" / "xla").write_text("a file")
    said, results = command("nowhere", tmp_path)
    assert said.startswith("compiled programs are not kept: ")
    assert said.count("\n") == 1 and results == whole[1]


def test_only_what_is_certainly_damaged_is_removed(tmp_path):
    good = zlib.compress(b"a program" * 100)
    foreign = b"\x28\xb5\x2f\xfd of another program, never sealed"
    for name, content in {
        "good-cache": good,
        "foreign-cache": foreign,
        "short-cache": good[:-1],
        "empty-cache": b"",
        "good-atime": b"\0" * 8,
    }.items():
        (tmp_path / name).write_bytes(content)
    assert compilation_cache.remove_damaged(tmp_path) == 2
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["foreign-cache", "good-atime", "good-cache"]
    compilation_cache.seal(tmp_path)
    assert compilation_cache.remove_damaged(tmp_path) == 0
    assert (tmp_path / "foreign-cache.sha256").is_file()
    assert not (tmp_path / "good-cache.sha256").exists()
    for at in range(len(foreign)):
        (tmp_path / "foreign-cache").write_bytes(flipped(foreign, at))
        compilation_cache.seal(tmp_path)
        assert compilation_cache.remove_damaged(tmp_path) == 1
        (tmp_path / "foreign-cache").write_bytes(foreign)
        compilation_cache.seal(tmp_path)


def test_jax_is_quoted_in_a_line_and_other_warnings_pass(tmp_path, monkeypatch):
    lines, passed = [], []
    with warnings.catch_warnings():
        monkeypatch.setattr(
            warnings, "showwarning", lambda *args, **_: passed.append(str(args[0]))
        )
        warnings.simplefilter("always")
        compilation_cache._hear_warnings(tmp_path, lines.append)
        for _ in range(3):
            for act in ("reading", "writing"):
                warnings.warn(
                    f"Error {act} persistent compilation cache entry for 'jit_f':"
                    " OSError: no\n room",
                    stacklevel=1,
                )
        warnings.warn("of somebody else", stacklevel=1)
    assert lines == [
        f"a compiled program in {tmp_path} is of no use, made anew: OSError: no room",
        f"a compiled program is not kept in {tmp_path}: OSError: no room",
    ]
    assert passed == ["of somebody else"]
