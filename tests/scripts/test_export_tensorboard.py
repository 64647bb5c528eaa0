import struct

import numpy as np
import pytest

from experiments.minimize import EXPERIMENT
from gradjax.commands.main import main as run
from scripts import export_tensorboard

event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")


def _scalars(path):
    """Returns name -> {step: value} of an event file: records with length and CRC."""
    content, at, found = path.read_bytes(), 0, {}
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        event = event_pb2.Event.FromString(content[at + 12 : at + 12 + length])
        at += 16 + length
        for value in event.summary.value:
            found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "sweep"
    command = ["minimize", "--problem=ridge", "--steps=20", "--eval_every=10"]
    command += ["--sweep=learning_rate=log(1e-3, 1e-1, 2)", f"--workdir={path}"]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr("sys.argv", [*command, "--plot=False"])
        run(EXPERIMENT)
    assert not ended.value.code
    return path


def test_each_trial_has_an_event_file_with_all_points(folder, tmp_path, capsys):
    import gradjax

    out = tmp_path / "tensorboard"
    assert export_tensorboard.main([str(folder), f"--out={out}"]) == 0
    trials, curves = gradjax.frames(folder)
    assert f"{len(trials)} trials" in capsys.readouterr().out
    for trial in trials.trial:
        (named,) = out.glob(f"*{trial[:6]}")
        (path,) = named.iterdir()
        own = curves[curves.trial == trial]
        found = _scalars(path)
        assert set(found) == set(own.name)
        for name, points in own.groupby("name"):
            np.testing.assert_allclose(
                [found[name][step] for step in points.step], points.value, rtol=1e-6
            )


def test_wrong_requests_are_refused_in_one_line(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for arguments, words in (
        ([str(tmp_path / "none")], "no run or sweep"),
        ([str(folder), f"--out={tmp_path}"], "must be a new or an empty folder"),
    ):
        assert export_tensorboard.main(arguments) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1


def test_the_name_of_a_trial_is_safe_as_a_folder():
    row = {"optimizer": "mine:rule(b='../x')", "seed": 1, "trial": "abcdef99"}
    found = export_tensorboard.name_of(row, ["learning_rate"])
    assert found == "mine_rule(b='.._x') seed=1 abcdef"
