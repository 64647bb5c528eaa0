"""The stability gauge in runs and of programs, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import Refusal, problems
from gradjax.analysis.stability import edge
from gradjax.diagnostics.eigenvalues import sharpness
from gradjax.diagnostics.gauge import of_program
from gradjax.diagnostics.preconditioned import (
    adam_preconditioner,
    preconditioned_sharpness,
)
from gradjax.types import Diagnostic

SCALES = jnp.asarray([1.0, 4.0, 10.0])


@pytest.fixture(scope="module")
def bowl():
    return gradjax.problem(
        lambda params, _batch, _key: ((SCALES * params["x"] ** 2).sum() / 2, {}),
        {"x": jnp.ones(3)},
    )


@pytest.mark.slow
def test_in_a_run_headroom_times_the_scheduled_rate_is_the_edge(bowl):
    program = gradjax.program(
        bowl, "sgd", "cosine", num_steps=8, diagnostics="stability_gauge(every=2)"
    )
    trace = gradjax.run(program, {"learning_rate": 0.1}).trace
    rates = np.asarray(trace["learning_rate"].values)[[0, 2, 4, 6]]
    assert rates[0] > 5 * rates[-1]  # the schedule has an effect
    for name, within in (("", 1e-2), (".low", 2e-2), (".high", 2e-2)):
        found = trace[f"stability_gauge{name}"].values * rates
        np.testing.assert_allclose(found, edge(10.0).rate, rtol=within)
    np.testing.assert_allclose(
        trace["stability_gauge.eigenvalue"].values, 1 - 10 * rates, rtol=1e-4, atol=1e-6
    )
    assert (trace["stability_gauge.held"].values == 0).all()
    assert (trace["stability_gauge.imaginary"].values == 0).all()


@pytest.mark.slow
def test_a_rate_with_a_schedule_of_its_own_is_scaled_at_its_value(bowl):
    def take(take_step, params, opt_state, hparams):
        after, _ = take_step(params, opt_state, hparams)
        return after["x"]

    program = gradjax.program(
        bowl,
        "sgd(momentum=linear(peak=0.9, end=0.1))",
        "cosine",
        num_steps=6,
        diagnostics=[
            Diagnostic(take, every=1, name="taken"),
            Diagnostic(lambda params_after: params_after["x"], every=1, name="true"),
        ],
    )
    trace = gradjax.run(program, {"learning_rate": 0.1}).trace
    for k in range(3):  # the pure step is the step of the run
        np.testing.assert_array_equal(
            trace[f"taken.{k}"].values, trace[f"true.{k}"].values
        )


def test_an_optimizer_without_a_rate_is_refused(bowl):
    with pytest.raises(Refusal, match="there is no learning rate"):
        gradjax.program(
            bowl, optax.sgd(0.1), num_steps=4, diagnostics="stability_gauge"
        )


@pytest.fixture(scope="module")
def digits():
    problem = problems.make("digits_mlp")
    source = problem.data.train
    count = source.num_examples
    batch = source.take(source.arrays, jnp.arange(count, dtype=jnp.uint32))
    return problem, batch


RULES = {
    "sgd": ({}, 0.1, ""),
    "sgd(momentum=0.9)": ({"momentum": 0.9}, 0.02, ""),
    "sgd(momentum=0.9, nesterov=True)": ({"momentum": 0.9, "nesterov": True}, 0.02, ""),
    "adam": (None, 1e-3, "nu"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_on_digits_it_equals_the_threshold_over_the_sharpness(name, digits):
    (problem, batch), (rule, rate, frozen) = digits, RULES[name]
    program = gradjax.program(problem, name, num_steps=60)
    hparams = {**program.hparams, "learning_rate": jnp.float32(rate)}

    @jax.jit
    def measured(batch):
        key = jax.random.key(0)
        state = program.init(hparams, jnp.uint32(0))

        def one(i, state):
            return program.step(state, batch, hparams, key, i.astype(jnp.uint32))[0]

        state = jax.lax.fori_loop(0, 60, one, state)
        after = program.step(state, batch, hparams, key, jnp.uint32(60))[0]
        found = of_program(
            program, hparams, state, batch, key=key, step=60, frozen=frozen
        )

        def loss(params, batch):
            return problem.loss(params, batch, key)[0]

        if rule is None:
            scale = adam_preconditioner(after.opt_state)
            local = preconditioned_sharpness(
                loss, state.params, batch, scale, num_products=60
            )
        else:
            local = sharpness(loss, state.params, batch, num_products=40)
        return found, local

    found, local = measured(batch)
    threshold = 38.0 if rule is None else edge(1.0, **rule).rate
    np.testing.assert_allclose(found.factor * rate, threshold / local, rtol=1e-2)
    assert found.edge.residual < 1e-2
