"""A run, a sweep and a command say so where nothing was learned."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax.commands.experiment import Experiment, settings_of
from gradjax.commands.train import train
from gradjax.types import Options

STEPS = 6
ZERO = r"nothing was learned in 6 steps, because every gradient or every update was"
RATE = "nothing was learned, because the learning rate is 0 in every step"


def init(_key):
    return {"w": jnp.array([0.4, -1.2]), "v": jnp.ones(())}


def rounded(params, _batch, _key):
    """A loss of which each gradient is exactly zero."""
    return jnp.sum(jnp.round(params["w"])) + jnp.round(params["v"]), {}


def half(params, _batch, _key):
    """A loss of which the gradient of one leaf of two is exactly zero."""
    return jnp.sum(jnp.round(params["w"])) + jnp.square(params["v"]), {}


FLAT = gradjax.Problem(init, rounded)
HALF = gradjax.Problem(init, half)


@pytest.fixture(scope="module")
def program():
    return gradjax.program(HALF, "sgd", num_steps=STEPS)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_run_says_that_every_gradient_is_zero_also_under_weight_decay(optimizer):
    with pytest.warns(UserWarning, match=ZERO):
        found = gradjax.run(gradjax.program(FLAT, optimizer, num_steps=STEPS))
    assert found.status == "finished" and not found.has_learned
    changed = not np.array_equal(found.params["w"], init(None)["w"])
    assert changed == (optimizer == "adamw")


def test_a_rate_of_0_is_named_as_the_reason_and_one_moving_leaf_is_enough(program):
    with pytest.warns(UserWarning, match=RATE):
        assert not gradjax.run(program, {"learning_rate": 0.0}).has_learned
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gradjax.run(program, {"learning_rate": 0.1})
        diverged = gradjax.run(program, {"learning_rate": 1e30})
    assert found.has_learned and diverged.status == "diverged"


def test_a_sweep_warns_only_if_no_trial_has_learned():
    with pytest.warns(UserWarning, match=RATE):
        gradjax.sweep(HALF, "sgd", {"learning_rate": [0.0, 0.0]}, num_steps=STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rates = {"learning_rate": [0.0, 0.1]}
        found = gradjax.sweep(HALF, "sgd", rates, num_steps=STEPS)
    assert found.has_learned.tolist() == [False, True]


def test_tune_says_it_of_the_best_setting_of_an_optimizer():
    found = gradjax.tune(
        FLAT,
        "sgd",
        {"learning_rate": [0.1, 1.0]},
        num_steps=STEPS,
    )
    (line,) = found.optimizers["sgd"].warnings
    assert line.startswith("nothing was learned in 6 steps")


def test_a_command_says_it_in_its_table_and_its_summary(tmp_path, capsys):
    what = Experiment("flat", lambda _: FLAT, {}, epochs=None)
    settings = settings_of(what, optimizer="sgd", steps=STEPS)
    options = Options(str(tmp_path / "run"), plot=False)
    for _ in range(2):  # the second command reads the record
        (line,) = train(what, settings, options=options)["warnings"]
        assert line.startswith("nothing was learned in 6 steps")
        assert line in " ".join(capsys.readouterr().out.split())
    (tmp_path / "run" / "summary.json").unlink()
    assert train(what, settings, options=options)["warnings"] == [line]


def test_a_gradient_of_zero_is_not_silently_right():
    found = gradjax.check_gradient(lambda p: rounded(p, None, None), init(None))
    assert found.is_right and found.is_zero
    assert "exactly zero in every leaf, so there is nothing to learn" in str(found)
    found = gradjax.check_gradient(lambda p: half(p, None, None), init(None))
    assert found.is_right and not found.is_zero
    assert [leaf.is_zero for leaf in found.leaves] == [False, True]
    assert "zero" in str(found).splitlines()[2]
