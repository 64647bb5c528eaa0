import signal
import subprocess
import sys
import time

import pytest

from gradjax.data.record_journal import Place
from scripts import make_stream

FLAGS = ["--name=toy", "--synthetic", "--shape=8,8,1", "--num_classes=3"]


def test_it_says_how_to_train_from_what_it_made(tmp_path, capsys):
    flags = [*FLAGS, "--num_examples=40", f"--data_dir={tmp_path}", "--test=0.1"]
    assert make_stream.main(flags) == 0
    said = capsys.readouterr()
    assert "train 34, validation 2, test 4" in said.out
    assert (
        f"experiments.vision --dataset=toy --data_dir={tmp_path} --stream" in said.out
    )
    assert not said.err
    assert make_stream.main([*flags, "--seed=1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_language_model_is_what_texts_are_for(tmp_path, capsys):
    (tmp_path / "own.csv").write_text("text\n" + "a line\n" * 30)
    flags = ["--name=own", f"--table={tmp_path / 'own.csv'}", "--no_labels"]
    assert make_stream.main([*flags, f"--data_dir={tmp_path}"]) == 0
    assert "experiments.language --dataset=own" in capsys.readouterr().out


def test_progress_is_said_every_two_seconds(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    told = make_stream._progress(1_000)
    told(500, 50_000_000)  # of an earlier command
    for _ in range(100):
        now[0] += 0.05
        told(1, 1_000_000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0] == "540 of 1,000 examples, 90 MB, 23 s left"


@pytest.mark.slow
def test_a_killed_command_goes_on(tmp_path):
    flags = [*FLAGS, "--num_examples=3000", "--shard_bytes=10000"]
    flags.append(f"--data_dir={tmp_path / 'cut'}")
    command = [sys.executable, "-m", "scripts.make_stream", *flags]
    place = Place(tmp_path / "cut", "toy")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (place.unfinished / "train-00005").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not place.folder.exists()
    assert make_stream.main(flags) == 0
    whole = Place(tmp_path / "whole", "toy")
    assert make_stream.main([*flags[:-1], f"--data_dir={tmp_path / 'whole'}"]) == 0
    for path in whole.folder.iterdir():
        assert path.read_bytes() == (place.folder / path.name).read_bytes()
    assert len(list(whole.folder.iterdir())) == len(list(place.folder.iterdir()))
