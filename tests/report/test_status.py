"""The status of a record: how far, how long yet, what was best so far."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import problems
from gradjax.data import arrays
from gradjax.report import status
from gradjax.sweeps import choose

RATES = {"learning_rate": [0.01, 0.1, 1e30]}
TUNED = {"num_steps": 20, "batch_size": 32, "num_fresh_seeds": 1, "lane_width": 1}


def tune(folder, **more):
    ridge = problems.make("ridge")
    return gradjax.tune(ridge, "sgd", RATES, workdir=folder, **TUNED | more)


@pytest.mark.slow
def test_the_status_says_how_far_how_long_and_what_was_best(tmp_path, interrupted):
    with interrupted(3):
        tune(tmp_path)
    found = dict(status.rows(tmp_path, print))
    assert found["trials"] == "1 of 3 of the search have ended"
    assert " so far, about " in found["time"] and found["time"].endswith(" left")
    assert found["best so far"].startswith("validation loss ")
    assert found["written by"] == "no process" and found["experiment"] == "tune"
    best = tune(tmp_path).optimizers["sgd"]
    found = dict(status.rows(tmp_path, print))
    assert found["trials"].endswith("; 1 of 1 of the fresh seeds have ended")
    assert found["time"].endswith("all of these trials have ended")
    assert f"learning_rate {best.point['learning_rate']:.4g}" in found["best so far"]
    assert max(map(len, found.values())) < 120


def test_the_curve_that_ranks_is_the_metric_of_the_target():
    plan = SimpleNamespace(problem=SimpleNamespace(target=gradjax.Target("error")))
    curves = {"loss": 0, "accuracy": 0, "error": 0}
    for held_out, name in (({}, "error"), (curves, "validation_error")):
        results = SimpleNamespace(plan=plan, trace=curves, validation=held_out)
        assert choose.ranking_curve(results) == (name, -1.0)


@pytest.mark.slow
def test_the_best_is_chosen_by_the_metric_of_the_target(tmp_path):
    def off(params, batch):
        return jnp.square(params - batch["x"])

    def metrics(params, batch, _key):
        errors, count = off(params, batch).sum(), jnp.asarray(len(batch["x"]), float)
        return {"loss": (errors, count), "accuracy": (errors, count)}

    source = arrays.source({"x": np.ones(4, np.float32)})
    problem = gradjax.Problem(
        lambda _key: jnp.zeros(()),
        lambda params, batch, _key: (off(params, batch).mean(), {}),
        metrics,
        gradjax.Splits(source, source),
    )
    rates = {"learning_rate": [0.01, 0.1]}
    gradjax.tune(problem, "sgd", rates, num_steps=4, workdir=tmp_path / "a")
    found = dict(status.rows(tmp_path / "a", print))
    assert found["best so far"].startswith("validation loss ")
    assert "learning_rate 0.1," in found["best so far"]
