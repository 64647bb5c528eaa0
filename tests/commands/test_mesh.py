"""--mesh: one run over many devices, and its record."""

import numpy as np
import pytest

import gradjax

FLAGS = ("--dataset=digits", "--model=mlp(widths=(16,))", "--batch_size=32")
FLAGS += ("--steps=60", "--eval_every=10", "--noplot")
DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}


def refused(ended):
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    (line,) = ended.stderr.strip().splitlines()
    return line


def test_a_mesh_that_cannot_be_used_is_refused(typed, tmp_path):
    ended = typed("experiments.mnist", *FLAGS, "--mesh=model=2")
    assert refused(ended).startswith("mesh='model=2': expected data=N")
    ended = typed("experiments.mnist", *FLAGS, "--mesh=data=1", "--lane_width=4")
    assert refused(ended).startswith("--lane_width=4: with --mesh")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_goes_on_with_another_mesh(process, tmp_path):
    def run(*more, **environment):
        return process(tmp_path, "experiments.mnist", *FLAGS, *more, **environment)

    assert run("--workdir=alone").returncode == 0
    killed = DEVICES | {"GRADJAX_FAULT": "segment:begun:4:kill"}
    assert run("--workdir=moved", "--mesh=data=2,fsdp=2", **killed).returncode == -9
    other = ("--workdir=moved", "--mesh=data=1,fsdp=4")
    assert 'environment.mesh "data=2,fsdp=2" there' in refused(run(*other, **DEVICES))
    ended = run(*other, "--accept_changes", **DEVICES)
    assert ended.returncode == 0, ended.stderr
    alone, moved = (gradjax.load(tmp_path / one) for one in ("alone", "moved"))
    for name, series in alone.trace.items():
        np.testing.assert_allclose(
            series.values, moved.trace[name].values, rtol=1e-3, atol=1e-5, err_msg=name
        )
    assert moved.config["environment"]["mesh"] == "data=2,fsdp=2"
    assert moved.summary["num_changes"] == 1
