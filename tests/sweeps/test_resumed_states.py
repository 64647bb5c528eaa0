import jax
import numpy as np
import pytest

import gradjax
from experiments.minimize import EXPERIMENT
from gradjax.commands.experiment import settings_of
from gradjax.commands.train import train
from gradjax.sweeps import execute
from gradjax.types import Options, Sweep


class Killed(BaseException):
    pass


def _train(folder):
    own = {"steps": 200, "eval_every": 10, "keep": "best", "patience": 1}
    settings = settings_of(EXPERIMENT, problem="ridge", **own)
    varied = Sweep(
        ("learning_rate=[1e-12, 0.001, 0.003]",), keep_params="all", fresh_seeds=0
    )
    train(EXPERIMENT, settings, varied, Options(workdir=str(folder), plot=False))


def _params(folder):
    return [gradjax.load(folder, trial=k).params for k in range(3)]


@pytest.mark.slow
def test_parameters_of_a_trial_that_ended_before_a_snapshot_survive_a_kill(
    tmp_path, monkeypatch
):
    _train(tmp_path / "whole")
    steps = gradjax.frames(tmp_path / "whole").trials.steps.tolist()
    assert steps[0] == 20 and max(steps) > 60  # the first trial ends before the others
    advance, calls = execute.attempts.advance, []

    def killed(*args):
        calls.append(args)
        if len(calls) == 3:
            raise Killed
        return advance(*args)

    with monkeypatch.context() as patch:
        patch.setattr(execute, "_SNAPSHOT_S", 0.0)
        patch.setattr(execute, "_SNAPSHOT_PART", 0.0)
        patch.setattr(execute.attempts, "advance", killed)
        with pytest.raises(Killed):
            _train(tmp_path / "mine")
    assert list((tmp_path / "mine" / "snapshots").iterdir())
    _train(tmp_path / "mine")
    for ours, whole in zip(
        _params(tmp_path / "mine"), _params(tmp_path / "whole"), strict=True
    ):
        jax.tree.map(np.testing.assert_array_equal, ours, whole)
