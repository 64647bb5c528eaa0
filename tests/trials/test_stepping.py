"""The states between the steps, and the function that is called after evaluations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Refusal


@pytest.fixture(scope="module")
def program():
    x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    problem = gradjax.problem(
        lambda params, batch, _key: (((batch["x"] @ params - 1) ** 2).mean(), {}),
        jnp.array([3.0]),
        {"x": x},
        validation={"x": x[::4]},
    )
    return gradjax.program(problem, "adam", num_steps=23, batch_size=8, eval_every=7)


def test_the_states_between_the_steps_are_those_of_a_run(program):
    rate = {"learning_rate": 0.05}
    found = list(gradjax.steps(program, rate, seed=3, every=10))
    assert [step for step, _ in found] == [0, 10, 20, 23]
    assert found[0][1].params.tolist() == [3.0]
    result = gradjax.run(program, rate, seed=3)
    np.testing.assert_allclose(found[-1][1].params, result.params, rtol=1e-6)
    every = [state.params for _, state in gradjax.steps(program, rate, 3)]
    np.testing.assert_allclose(every[10], found[1][1].params, rtol=1e-6)


def test_wrong_steps_are_refused_at_once(program):
    for more, said in (
        ({"every": 0}, "every=0: must be a positive whole number"),
        ({"hparams": {"rate": 1.0}}, "rate"),
        ({"seed": -1}, "seed"),
    ):
        with pytest.raises(Refusal, match=said):
            gradjax.steps(program, **more)


def test_it_is_called_after_each_evaluation_with_what_it_names(program):
    seen = []
    result = gradjax.run(
        program,
        {"learning_rate": 0.05},
        on_evaluation=lambda step, metrics, params: seen.append(
            (step, metrics, params)
        ),
    )
    steps, values = result.trace["validation_loss"]
    assert [step for step, *_ in seen] == steps.tolist() == [7, 14, 21, 23]
    for (_, metrics, _), value in zip(seen, values, strict=True):
        assert metrics["validation_loss"] == pytest.approx(float(value))
        assert np.isfinite(metrics["loss"])
    np.testing.assert_array_equal(seen[-1][2], result.params)
    states = dict(gradjax.steps(program, {"learning_rate": 0.05}, every=7))
    np.testing.assert_allclose(seen[0][2], states[7].params, rtol=1e-6)


def test_it_gets_averaged_parameters_where_they_are_evaluated(program):
    averaged = gradjax.program(
        program.plan.problem, "average(sgd)", num_steps=8, batch_size=8
    )
    seen = []
    result = gradjax.run(averaged, on_evaluation=lambda params: seen.append(params))
    jax.tree.map(np.testing.assert_array_equal, seen[-1], result.params)


def test_it_may_end_the_run(program):
    result = gradjax.run(program, on_evaluation=lambda step: step >= 14)
    assert (result.status, result.num_steps) == ("stopped early", 14)


def test_it_is_not_called_for_a_trial_that_has_ended_before(program):
    seen = []
    found = gradjax.sweep(
        program.plan.problem,
        "sgd",
        {"learning_rate": [1e-30, 0.05]},
        num_steps=20,
        batch_size=8,
        eval_every=4,
        keep="best",
        patience=1,
        on_evaluation=lambda step, trial: seen.append((trial, step)),
    )
    assert found.num_steps.tolist() == [8, 20]
    assert [step for trial, step in seen if trial == 0] == [4, 8]
    assert [step for trial, step in seen if trial == 1] == [4, 8, 12, 16, 20]


def test_it_is_called_for_each_trial_of_a_sweep(program):
    seen = []
    gradjax.sweep(
        program.plan.problem,
        "sgd",
        {"learning_rate": [0.1, 1e30]},
        seeds=[0, 1],
        num_steps=8,
        batch_size=8,
        eval_every=4,
        on_evaluation=lambda step, trial, seed, hparams: seen.append(
            (step, trial, seed, hparams["learning_rate"])
        ),
    )
    rate = pytest.approx(0.1)
    assert [one for one in seen if one[0] == 8] == [(8, 0, 0, rate), (8, 1, 1, rate)]


def test_what_cannot_be_called_is_refused(program):
    with pytest.raises(Refusal, match="expected a function"):
        gradjax.run(program, on_evaluation=3)
    with pytest.raises(Refusal, match="takes loss; it is called with: step, metrics"):
        gradjax.run(program, on_evaluation=lambda loss: loss)
