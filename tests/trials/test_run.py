"""A run is a sweep of one trial, in every type of parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Problem, Splits
from gradjax.data import arrays

HPARAMS = {"learning_rate": 0.05}


def source_of(num_examples, seed):
    rng = np.random.default_rng(seed)
    return arrays.source({"x": rng.normal(size=(num_examples, 3)).astype(np.float32)})


def problem_of(dtype=jnp.float32):
    """The sum of three inputs, by two random layers with noise from the key."""

    def errors(params, batch):
        hidden = jnp.tanh(batch["x"].astype(dtype) @ params["w"])
        return jnp.square(hidden @ params["v"] - batch["x"].sum(axis=1).astype(dtype))

    def loss(params, batch, key):
        noise = 0.01 * jax.random.normal(key, params["v"].shape, dtype)
        return errors(params | {"v": params["v"] + noise}, batch).mean(), {}

    def metrics(params, batch, _key):
        seen = errors(params, batch)
        return {"loss": (seen.sum(), jnp.asarray(len(seen), dtype))}

    def init(key):
        keys = jax.random.split(key)
        return {
            name: jax.random.normal(one, shape, dtype)
            for name, one, shape in zip("wv", keys, ((3, 5), (5,)), strict=True)
        }

    splits = Splits(source_of(23, 0), source_of(7, 1), source_of(11, 2))
    return Problem(init, loss, metrics, splits)


SIZES = {"num_steps": 50, "batch_size": 5, "eval_every": 20}


@pytest.mark.parametrize("more", [{}, {"keep": "best", "patience": 1}])
@pytest.mark.slow
def test_a_run_of_a_seed_has_the_bits_that_it_has_in_a_sweep_of_width_one(more):
    problem, seeds = problem_of(), [4, 0, 7, 1]
    program = gradjax.program(problem, "adam", **SIZES, **more)
    rates = {name: [value] for name, value in HPARAMS.items()}
    swept = gradjax.sweep(
        problem,
        "adam",
        rates,
        seeds,
        lane_width=1,
        trace_every=1,
        **SIZES,
        **more,
    )

    def same(x, y):
        np.testing.assert_array_equal(x[row], y)

    for row, seed in enumerate(seeds):
        run = gradjax.run(program, HPARAMS, seed)
        for name in ("params", "state", "status", "num_steps", "kept_step"):
            jax.tree.map(same, getattr(swept, name), getattr(run, name))
        assert swept.num_gradients[row] == run.num_gradients
        assert swept.trace.keys() == run.trace.keys()
        for name, series in run.trace.items():
            assert swept.trace[name].steps.tolist() == series.steps.tolist()
            same(swept.trace[name].values, series.values)
        for split in ("validation", "test"):
            alone = np.float32(run.evaluation[split]["loss"])
            same(swept.evaluation[split]["loss"], alone)
    assert len(set(swept.evaluation["test"]["loss"].tolist())) == len(seeds)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_parameters_of_each_type_have_a_result(dtype):
    """Curves have at least the precision of float32."""
    with jax.enable_x64(dtype == "float64"):
        type_, problem = jnp.dtype(dtype), problem_of(jnp.dtype(dtype))
        program = gradjax.program(problem, "adam", keep="best", **SIZES)
        run = gradjax.run(program, HPARAMS)
        rates = {"learning_rate": [0.05, 0.02, 0.1]}
        swept = gradjax.sweep(problem, "adam", rates, lane_width=2, **SIZES)

    curve = np.promote_types(type_, np.float32)
    for found, num_trials in ((run, ()), (swept, (3,))):
        assert {leaf.dtype for leaf in jax.tree.leaves(found.params)} == {type_}
        assert found.params["w"].shape == (*num_trials, 3, 5)
        for name in ("loss", "validation_loss"):
            assert found.trace[name].values.dtype == curve
    losses = run.trace["loss"].values
    assert run.status == "finished"
    assert np.isfinite([means["loss"] for means in run.evaluation.values()]).all()
    assert losses[-10:].mean() < 0.5 * losses[:10].mean()
    best = run.trace["validation_loss"].values.min()
    assert run.evaluation["validation"]["loss"] == pytest.approx(float(best))
    assert swept.status.tolist() == ["finished"] * 3
    assert np.isfinite(swept.evaluation["test"]["loss"]).all()
    assert len(set(swept.evaluation["test"]["loss"].tolist())) == 3
