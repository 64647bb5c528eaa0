"""Runs that start at given parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Refusal

X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
DATA = {"x": X, "y": X.sum(axis=1)}


def loss(params, batch, _key):
    hidden = batch["x"] @ params["w"]
    return ((hidden - batch["y"] + params["b"]) ** 2).mean(), {}


def program(optimizer="sgd", num_steps=4, **more):
    init = {"w": jnp.zeros(3), "b": jnp.float32(0.0)}
    problem = gradjax.problem(loss, init, DATA)
    return gradjax.program(problem, optimizer, num_steps=num_steps, **more)


RATE = {"learning_rate": 0.1}


@pytest.mark.slow
def test_two_runs_one_after_the_other_are_one_long_run():
    first = gradjax.run(program(), RATE)
    second = gradjax.run(program(), RATE, params=first.params)
    whole = gradjax.run(program(num_steps=8), RATE)
    for found, expected in zip(
        jax.tree.leaves(second.params), jax.tree.leaves(whole.params), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    losses = [*first.trace["loss"].values, *second.trace["loss"].values]
    np.testing.assert_allclose(losses, whole.trace["loss"].values, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:nothing was learned")
@pytest.mark.slow
def test_the_steps_are_not_compiled_again_for_other_parameters():
    one = program()
    start = {"w": np.ones(3), "b": 0.5}  # float64 of numpy, converted
    result = gradjax.run(one, {"learning_rate": 0.0}, params=start)
    np.testing.assert_array_equal(result.params["w"], np.ones(3, np.float32))
    count = len(one.executables)
    again = gradjax.run(one, {"learning_rate": 0.0}, params=result.params)
    assert len(one.executables) == count == 1
    assert again.params["b"] == np.float32(0.5)
    assert gradjax.run(one, {"learning_rate": 0.0}).params["b"] == 0.0


def test_leaves_that_differ_are_listed():
    with pytest.raises(Refusal) as refused:
        gradjax.run(program(), RATE, params={"w": np.ones(2), "c": np.ones(1)})
    for part in (
        "w is [2], expected [3]",
        "b is absent, expected []",
        "c is [1], expected absent",
    ):
        assert part in str(refused.value)


@pytest.mark.slow
def test_a_state_of_the_network_may_be_given_with_the_parameters():
    def with_state(params, batch, key, state):
        return *loss(params, batch, key), state + 1.0

    def metrics(params, batch, key, _state):
        count = jnp.float32(len(batch["x"]))
        return {"loss": (loss(params, batch, key)[0] * count, count)}

    init = {"w": jnp.zeros(3), "b": jnp.float32(0.0)}
    problem = gradjax.problem(
        with_state, init, DATA, metrics=metrics, state=jnp.float32(0.0)
    )
    made = gradjax.program(problem, "sgd", num_steps=2)
    result = gradjax.run(made, RATE, params=init, model_state=np.float32(5.0))
    assert result.model_state == 7.0
    assert gradjax.run(made, RATE, params=init).model_state == 2.0
    with pytest.raises(Refusal, match="model_state without params"):
        gradjax.run(made, RATE, model_state=np.float32(5.0))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (gradjax.Target("acuracy", 0.9, "max"), "it has loss"),
        (gradjax.Target("accuracy"), "it has loss"),
    ],
)
def test_a_target_that_is_not_measured_is_refused(target, expected):
    problem = program().plan.problem._replace(target=target)
    with pytest.raises(Refusal) as refused:
        gradjax.program(problem, "sgd", num_steps=1)
    assert target.metric in str(refused.value) and expected in str(refused.value)


@pytest.mark.slow
def test_an_entry_of_a_suite_makes_its_problem_with_its_target():
    from gradjax.suites import SUITES, problem_of

    for workload in SUITES["toy"]:
        assert problem_of(workload).target == workload.target
