import time

import pytest

from gradjax import data
from gradjax.data import prepared
from gradjax.errors import Refusal


def refusal(name, data_dir=None):
    with pytest.raises(Refusal) as caught:
        data.load(name, data_dir)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_prepared_is_one_line_at_once(data_dir, exists):
    if not exists:
        data_dir.rmdir()
    start = time.monotonic()
    message = refusal("mnist")
    assert time.monotonic() - start < 0.5
    assert f"no {data_dir}/mnist/*/dataset_info.json" in message
    assert "`make data`" in message
    assert "--dataset=digits" in message
    assert not data.is_prepared("mnist")
    assert data.is_prepared("digits")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mnits", "did you mean 'mnist'?"),
        ("Digits", "did you mean 'digits'?"),
        ("tooy", "did you mean 'toy'?"),
        ("toy:9.9.9", "prepared versions: 1.0.0"),
        ("toy/1.0.0", "did you mean 'toy:1.0.0'?"),
        ("pair", "prepared configs: pair/left"),
        ("kmnist", "`python -m scripts.prepare_data kmnist`"),
    ],
)
def test_the_nearest_name_is_shown(prepare, name, hint):
    prepare("toy")
    prepare("pair/left")
    assert hint in refusal(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../toy",
        "toy/..",
        "toy/../toy",
        "toy/",
        "/etc/passwd",
        "toy\n",
        "to\ny",
        "to\0y",
        "to y",
        "töy",
        ".hidden",
        "toy:latest",
        "toy:1.0.0/..",
        "x" * 300,
    ],
)
def test_a_name_never_leaves_the_folder(prepare, name):
    prepare("toy")
    assert "expected NAME" in refusal(name)
    with pytest.raises(Refusal):
        data.is_prepared(name)


def test_the_newest_version_is_taken(prepare, data_dir):
    for version in ("1.9.0", "1.10.0", "1.2.0"):
        prepare("toy", version)
    (data_dir / "toy" / "2.0.0").mkdir()  # half prepared: no dataset_info.json
    assert prepared.find("toy").name == "1.10.0"
    assert prepared.find("toy:1.2.0").name == "1.2.0"
    assert data.is_prepared("toy:1.9.0")
    assert not data.is_prepared("toy:2.0.0")


def test_bad_folders_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    assert "is not a folder" in refusal("mnist", tmp_path / "file")
    assert "does not exist" in refusal("mnist", tmp_path / "absent")
    assert "does not exist" in refusal("mnist", tmp_path / ("x" * 3000))
    assert "unprintable" in refusal("mnist", f"{tmp_path}\0")
    assert "unprintable" in refusal("mnist", f"{tmp_path}/a\nb")


def test_a_relative_folder_is_made_absolute(prepare, tmp_path, monkeypatch):
    prepare("toy")
    monkeypatch.chdir(tmp_path)
    dataset = data.load("toy", "tensorflow_datasets")
    assert dataset.origin == str(tmp_path / "tensorflow_datasets/toy/1.0.0")
