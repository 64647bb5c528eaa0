"""`gradjax.tune` with more steps in its folder goes on, by the rule of a command."""

import functools

import pytest

import gradjax
from gradjax import Refusal, problems
from tests.sweeps.test_extended import check_same

RATES = {"learning_rate": [0.01, 0.1]}


@pytest.mark.slow
def test_a_call_with_more_steps_goes_on(tmp_path):
    tune = functools.partial(
        gradjax.tune,
        problems.make("ridge"),
        "sgd",
        RATES,
        batch_size=32,
        num_fresh_seeds=1,
        lane_width=2,
        keep_params="all",
    )
    tune(num_steps=20, workdir=tmp_path / "longer")
    found = tune(num_steps=40, workdir=tmp_path / "longer")
    tune(num_steps=40, eval_every=2, workdir=tmp_path / "whole")
    assert (gradjax.frames(found).trials.steps == 40).all()
    again = tune(num_steps=40, workdir=tmp_path / "longer")
    assert repr(again.optimizers) == repr(found.optimizers)
    check_same(tmp_path / "longer", tmp_path / "whole")


@pytest.mark.slow
def test_a_call_that_cannot_go_on_says_why(tmp_path):
    tune = functools.partial(gradjax.tune, problems.make("ridge"), "sgd", RATES)
    own = {"workdir": tmp_path, "batch_size": 32, "num_fresh_seeds": 0}
    tune(num_steps=10, schedule="cosine", **own)
    with pytest.raises(Refusal, match="schedule cosine depends on the number") as said:
        tune(num_steps=20, schedule="cosine", **own)
    assert f"params=gradjax.load('{tmp_path}').params" in str(said.value)
    assert "--" not in str(said.value)
    tune(num_steps=10, **own, overwrite=True)
    with pytest.raises(Refusal, match="does not hold the states.*keep_params=all"):
        tune(num_steps=20, **own)
