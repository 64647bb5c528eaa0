"""--stream: the same records, read while the run goes on."""

import numpy as np
import pytest

import gradjax

FLAGS = ("--dataset=digits", "--epochs=2", "--eval_every=20", "--noplot")


def refused(ended):
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    (line,) = ended.stderr.strip().splitlines()
    return line


def same(a, b):
    for name, series in a.trace.items():
        np.testing.assert_array_equal(series.values, b.trace[name].values, name)
    for name, values in a.params.items():
        np.testing.assert_array_equal(values["w"], b.params[name]["w"])


def test_what_nothing_streams_is_refused(typed):
    ended = typed("experiments.mnist", *FLAGS, "--stream_workers=2")
    assert refused(ended) == (
        "--stream_workers=2: nothing is streamed without --stream"
    )
    ended = typed("experiments.mnist", *FLAGS, "--stream", "--stream_workers=-1")
    assert "workers=-1: must be from 0 to 256" in refused(ended)
    ended = typed("experiments.minimize", "--problem=booth", "--stream")
    assert refused(ended) == "stream: the problem has no data"


@pytest.mark.slow
@pytest.mark.optimized
def test_a_streamed_run_that_was_killed_goes_on_to_the_same_bits(
    typed, process, tmp_path
):
    assert typed("experiments.mnist", *FLAGS, "--workdir=memory").returncode == 0
    asked = ("--workdir=stream", "--stream", "--stream_workers=1")
    killed = {"GRADJAX_FAULT": "segment:begun:3:kill"}
    ended = process(tmp_path, "experiments.mnist", *FLAGS, *asked, **killed)
    assert ended.returncode == -9, ended.stderr
    # A record is the same with and without --stream, so either command goes on.
    ended = typed("experiments.mnist", *FLAGS, "--workdir=stream", "--stream")
    assert ended.returncode == 0, ended.stderr
    memory, stream = (gradjax.load(tmp_path / one) for one in ("memory", "stream"))
    np.testing.assert_array_equal(
        memory.trace["loss"].values, stream.trace["loss"].values
    )
    assert memory.config == stream.config
    assert "train_loss" not in stream.summary


@pytest.mark.slow
def test_a_streamed_sweep_chooses_what_the_sweep_chooses(typed, tmp_path):
    swept = (*FLAGS, "--sweep=learning_rate=[1e-3, 1e-2]", "--fresh_seeds=2")
    for folder, more in (("memory", ()), ("stream", ("--stream",))):
        ended = typed("experiments.mnist", *swept, f"--workdir={folder}", *more)
        assert ended.returncode == 0, ended.stderr
    a, b = (gradjax.frames(tmp_path / one)[0] for one in ("memory", "stream"))
    np.testing.assert_allclose(a["validation_loss"], b["validation_loss"], rtol=1e-6)
