"""Every curve, metric and parameter comes out under the name that it went in with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from experiments import minimize
from gradjax import Problem, Splits
from gradjax.commands.experiment import settings_of
from gradjax.commands.train import train
from gradjax.data import arrays
from gradjax.problems import PROBLEMS
from gradjax.training.leaf_names import path_name
from gradjax.types import Options, Sweep

START = {"a/b": 1.0, "a": {"b": 2.0, "c/d%": 3.0}, "50%2F": 4.0, "list": [5.0, 6.0]}


def tree():
    return jax.tree.map(lambda x: jnp.full(2, x, jnp.float32), START)


def problem():
    def loss(params, _batch, _key):
        value = sum((x**2).sum() for x in jax.tree.leaves(params))
        return value, {"acc/top1": value, "acc/top5": 2 * value, "loss.step": 3 * value}

    def metrics(params, batch, key):
        value, aux = loss(params, batch, key)
        count = jnp.float32(1.0)
        means = {"loss": value, "acc/top1": aux["acc/top1"], "acc/top5": value / 2}
        return {name: (value, count) for name, value in means.items()}

    data = arrays.source({"x": np.zeros((4, 1), np.float32)})
    return Problem(lambda _: tree(), loss, metrics, Splits(data, data, data))


@pytest.mark.parametrize("sweep", [(), ("learning_rate=[0.01, 0.001]",)])
def test_names_with_slashes_percents_and_dots_are_kept(sweep, tmp_path, monkeypatch):
    monkeypatch.setitem(PROBLEMS, "named", problem)
    flags = {"problem": "named", "steps": 6, "batch_size": 2, "optimizer": "sgd"}
    options = Options(workdir=str(tmp_path / "run"), plot=False)
    settings = settings_of(minimize.EXPERIMENT, **flags, eval_every=3)
    train(minimize.EXPERIMENT, settings, Sweep(sweep=sweep, fresh_seeds=0), options)

    trials, curves = gradjax.frames(tmp_path / "run")
    first = curves[curves.trial == trials.trial[0]]
    lengths = first.groupby("name").step.apply(list).to_dict()
    steps, evaluations = [1, 2, 3, 4, 5, 6], [3, 6]
    for name in ("loss", "acc/top1", "acc/top5", "loss.step"):
        assert lengths[name] == steps
    for name in ("validation_loss", "validation_acc/top1", "validation_acc/top5"):
        assert lengths[name] == evaluations
    values = {name: part.value.to_numpy() for name, part in first.groupby("name")}
    np.testing.assert_allclose(values["acc/top5"], 2 * values["loss"], rtol=1e-6)
    np.testing.assert_allclose(values["loss.step"], 3 * values["loss"], rtol=1e-6)
    ratio = trials["validation_acc/top1"] / trials["validation_acc/top5"]
    np.testing.assert_allclose(ratio, 2.0, rtol=1e-6)
    np.testing.assert_allclose(trials["test_acc/top1"], trials.test_loss, rtol=1e-6)

    kept = gradjax.load(tmp_path / "run", trial=0).params
    assert sorted(kept) == sorted(START)
    shrunk = kept["a/b"] / 1.0
    for found, start in (
        (kept["a"]["b"], 2.0),
        (kept["a"]["c/d%"], 3.0),
        (kept["50%2F"], 4.0),
        (kept["list"]["1"], 6.0),
    ):
        np.testing.assert_allclose(found / start, shrunk, rtol=1e-5)


def test_different_leaves_have_different_names():
    names = [path_name(path) for path, _ in jax.tree.leaves_with_path(START)]
    assert len(set(names)) == len(names) == 6
    assert path_name(()) == "params"
