"""Runs and sweeps under the options of JAX with which people search for mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Splits
from gradjax.data import arrays

X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
DATA = {"x": X, "y": (X.sum(axis=1) > 0).astype(np.float32)}


def problem(loss):
    splits = Splits(*(arrays.source(DATA) for _ in range(3)))
    start = {"w": jnp.zeros(3), "b": jnp.zeros(())}
    return gradjax.Problem(lambda _: start, loss, data=splits)


def logistic(params, batch, _key):
    margin = batch["x"] @ params["w"] + params["b"]
    return jnp.mean(jnp.logaddexp(0.0, margin) - batch["y"] * margin), {}


def trained(loss, optimizer="sgd(momentum=0.9)", **kwargs):
    return gradjax.sweep(
        problem(loss),
        optimizer,
        {"learning_rate": [0.1, 0.2]},
        num_steps=4,
        batch_size=8,
        eval_every=2,
        trace_every=1,
        num_devices=1,
        **kwargs,
    )


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.slow
def test_without_jit_a_loss_sees_values_and_the_run_is_the_same(width):
    """So a print, a breakpoint or an assertion in one's loss works."""
    seen = []

    def loss(params, batch, key):
        if not isinstance(batch["x"], jax.core.Tracer):  # checks of shapes are traced
            seen.append(float(batch["x"].sum()))
            assert width > 1 or bool(jnp.isfinite(params["b"]))
        return logistic(params, batch, key)

    compiled = trained(logistic, lane_width=width)
    assert not seen
    with jax.disable_jit():
        eager = trained(loss, lane_width=width)
    if width == 1:  # a lane that is mapped has no values
        assert len(seen) > 8  # a loss in each step, and evaluations
    for name, series in compiled.trace.items():
        np.testing.assert_allclose(eager.trace[name].values, series.values, rtol=1e-5)


@pytest.mark.slow
def test_nans_are_debugged_without_a_false_alarm():
    """Fillers of a report are NaN, and are no result of a healthy run."""
    with jax.debug_nans(True):
        found = trained(logistic, lane_width=2)
        made = gradjax.program(problem(logistic), "sgd", num_steps=4, batch_size=8)
        one = gradjax.run(made)
    assert set(found.status) == {"finished"} and one.status == "finished"


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.slow
def test_strict_promotion_of_types_fails_nowhere_in_our_own_code(width):
    with jax.numpy_dtype_promotion("strict"):
        schedule = "warmup_cosine(warmup=0.3)"
        found = trained(logistic, schedule=schedule, lane_width=width, keep="best")
    usual = trained(logistic, schedule=schedule, lane_width=width, keep="best")
    for name, series in usual.trace.items():
        np.testing.assert_allclose(found.trace[name].values, series.values, rtol=1e-5)
