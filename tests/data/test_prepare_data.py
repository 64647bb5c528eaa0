import importlib.util
import io
import shutil
import subprocess
import sys
import threading
import urllib.error
from email.message import Message
from pathlib import Path
from types import SimpleNamespace

import pytest

from gradjax import data
from scripts import prepare_data

has_tensorflow = importlib.util.find_spec("tensorflow") is not None


@pytest.fixture
def builder(prepare, data_dir, monkeypatch):
    """Stands in for TFDS's builder; `fails` is what its preparation raises."""

    def make(_, scratch):
        def download_and_prepare(file_format, download_config):
            assert file_format == "array_record"
            assert download_config.manual_dir.endswith("downloads/manual")
            Path(scratch, "downloads").mkdir()
            built.data_path.parent.mkdir()
            if built.fails is not None:
                raise built.fails
            shutil.move(prepare("toy"), built.data_path)
            (data_dir / "toy").rmdir()

        built.data_path = Path(scratch, "toy", "1.0.0")
        built.download_and_prepare = download_and_prepare
        return built

    info = SimpleNamespace(homepage="http://127.0.0.1:9", full_name="toy/1.0.0")
    built = SimpleNamespace(info=info, fails=None)
    monkeypatch.setattr(prepare_data, "_builder", make)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    return built


@pytest.fixture
def network(monkeypatch):
    """Every host answers as `network.answer` says, and none is really asked."""
    state = SimpleNamespace(answer=None)

    def urlopen(url, timeout):
        assert timeout < 10
        if state.answer is not None:
            raise state.answer
        return io.BytesIO(url.encode())

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    return state


def refused(capsys, *arguments):
    assert prepare_data.main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("prepare_data: ")
    assert err.count("\n") == 1
    return err


def test_what_is_prepared_is_left_alone(prepare, capsys):
    folder = prepare("toy")
    for arguments in (["toy"], ["toy:1.0.0", f"--data_dir={folder.parents[1]}"]):
        assert prepare_data.main(arguments) == 0
        assert f"is already prepared in {folder}\n" in capsys.readouterr().out
    assert prepare_data.main(["digits"]) == 0


@pytest.mark.skipif(has_tensorflow, reason="TensorFlow is installed")
@pytest.mark.slow
def test_without_tensorflow_one_line_says_how(data_dir):
    command = [sys.executable, "-m", "scripts.prepare_data", "mnist"]
    root = Path(prepare_data.__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 2
    assert "`pip install 'gradjax[prepare]'`, or `make data`" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(data_dir.iterdir()) == []


def test_without_a_network_nothing_is_left(capsys, builder, network, data_dir):
    network.answer = OSError("Network is unreachable")
    err = refused(capsys, "toy")
    assert "no answer from" in err
    assert builder.info.homepage in err
    assert "--dataset=digits" in err
    assert list(data_dir.iterdir()) == []


def test_a_host_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(prepare_data, "_PROBE_S", 0.05)
    release = threading.Event()

    def hang(url, timeout):
        release.wait()
        raise OSError(f"{url} timed out after {timeout} s")

    monkeypatch.setattr("urllib.request.urlopen", hang)
    assert not prepare_data.any_reachable(["http://127.0.0.1:9"])
    release.set()


@pytest.mark.parametrize("is_reachable", [True, False])
def test_any_answer_is_an_answer(network, is_reachable):
    refusal = urllib.error.HTTPError("http://x", 403, "Forbidden", Message(), None)
    network.answer = refusal if is_reachable else ValueError("unknown url type")
    assert prepare_data.any_reachable(["http://x"]) == is_reachable
    refusal.close()


@pytest.mark.usefixtures("builder", "network")
def test_a_finished_folder_is_moved_into_place(capsys, data_dir):
    assert prepare_data.main(["toy"]) == 0
    assert capsys.readouterr().out == f"prepared toy/1.0.0 in {data_dir}/toy/1.0.0\n"
    assert [path.name for path in data_dir.iterdir()] == ["toy"]
    assert data.load("toy").num_classes == 3


@pytest.mark.usefixtures("network")
def test_a_failed_preparation_leaves_nothing(capsys, builder, data_dir):
    builder.fails = ConnectionError("lost\non the way")
    expected = "prepare_data: TFDS could not prepare toy: lost\n"
    assert refused(capsys, "toy") == expected
    assert list(data_dir.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [[], ["toy", "extra"], ["--help"], ["toy", "--verbose"]]
)
def test_bad_arguments_are_one_line(capsys, arguments):
    assert "usage: python -m scripts.prepare_data NAME" in refused(capsys, *arguments)


def test_bad_names_and_folders_are_refused(capsys, tmp_path, data_dir):
    assert "expected NAME" in refused(capsys, "../toy")
    assert "expected NAME" in refused(capsys, "toy\n")
    (tmp_path / "file").write_text("")
    folder = f"--data_dir={tmp_path / 'file'}"
    assert "is not a folder" in refused(capsys, "toy", folder)
    assert list(data_dir.iterdir()) == []
