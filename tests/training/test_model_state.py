"""The state that a network keeps beside its parameters, as BatchNorm does."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax.models.module import from_module_with_state
from gradjax.training.loop import batch_indices

MOMENTUM, NUM_STEPS, BATCH = 0.8, 6, 4
X = np.random.default_rng(0).normal(3.0, 2.0, size=(12, 3)).astype(np.float32)
Y = X @ np.float32([1.0, -2.0, 0.5])


class Normed(nn.Module):
    """BatchNorm of the inputs, whose statistics do not depend on the parameters."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, inputs, train=False):
        hidden = nn.BatchNorm(
            use_running_average=not train, momentum=MOMENTUM, param_dtype=self.dtype
        )(inputs.astype(self.dtype))
        return nn.Dense(1, param_dtype=self.dtype)(hidden)[:, 0]


def made(dtype=jnp.float32, factor=1.0):
    model = from_module_with_state(Normed(dtype), (3,))

    def loss(params, batch, key, state):
        outputs, state = model.apply(params, batch["x"], key, state)
        return factor * jnp.mean((outputs - batch["y"].astype(dtype)) ** 2), {}, state

    def metrics(params, batch, _key, state):
        outputs, _ = model.apply(params, batch["x"], None, state)
        errors = (outputs - batch["y"].astype(dtype)) ** 2
        return {"loss": (errors.sum(), jnp.asarray(len(errors), errors.dtype))}

    data = {"x": X, "y": Y}
    return gradjax.problem(
        loss, model.init, data, data, metrics=metrics, state=model.init_state
    )


def statistics(program, seed, num_steps=NUM_STEPS):
    """The running mean and variance after some steps: flax's rule, in float64."""
    rows = np.asarray(batch_indices(program.plan, np.uint32(seed), jnp.uint32(0), 6))
    mean, var = np.zeros(3), np.ones(3)
    for row in rows[:num_steps]:
        mean = MOMENTUM * mean + (1 - MOMENTUM) * np.float64(X)[row].mean(axis=0)
        var = MOMENTUM * var + (1 - MOMENTUM) * np.float64(X)[row].var(axis=0)
    return mean, var


def running(state, row=...):
    own = state["batch_stats"]["BatchNorm_0"]
    return own["mean"][row], own["var"][row]


def program(problem, optimizer="sgd", num_steps=NUM_STEPS, **more):
    return gradjax.program(
        problem, optimizer, num_steps=num_steps, batch_size=BATCH, **more
    )


def test_the_running_statistics_of_a_run_are_those_of_flax():
    plain = program(made(), eval_every=2)
    result = gradjax.run(plain, {"learning_rate": 0.01}, seed=3)
    for found, expected in zip(
        running(result.model_state), statistics(plain, 3), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=2e-6)
    mean, var = running(result.model_state)
    scale, dense = result.params["BatchNorm_0"], result.params["Dense_0"]
    hidden = (X - mean) / np.sqrt(var + 1e-5) * scale["scale"] + scale["bias"]
    errors = (hidden @ dense["kernel"] + dense["bias"])[:, 0] - Y
    loss = result.evaluation["validation"]["loss"]
    assert loss == pytest.approx(np.mean(errors**2), rel=1e-4), "not the running state"


CASES = [
    (kind, width) for kind in ("bfloat16", "float64", "float32") for width in (4, 1)
]


@pytest.mark.parametrize(("dtype", "width"), CASES)
@pytest.mark.slow
def test_each_trial_of_a_sweep_keeps_its_own_statistics_in_its_type(dtype, width):
    with jax.enable_x64(dtype == "float64"):
        problem = made(jnp.dtype(dtype))
        found = gradjax.sweep(
            problem,
            "sgd",
            {"learning_rate": [0.01]},
            seeds=range(4),
            num_steps=NUM_STEPS,
            batch_size=BATCH,
            lane_width=width,
        )
        plain = program(problem)
    wide = "float64" if dtype == "float64" else "float32"
    for row in range(4):
        for own, expected in zip(
            running(found.model_state, row), statistics(plain, row), strict=True
        ):
            assert own.dtype == wide
            rtol = {"float32": 2e-6, "float64": 1e-12, "bfloat16": 2e-2}[dtype]
            np.testing.assert_allclose(own, expected, rtol=rtol)
    assert found.params["Dense_0"]["kernel"].dtype == dtype


@pytest.mark.slow
def test_averaged_parameters_are_evaluated_with_the_state_as_it_is():
    problem = made()
    plain = program(problem, "average(sgd, decay=0.5)")
    result = gradjax.run(plain, {"learning_rate": 0.05})
    own = result.state.model_state
    total, count = problem.metrics(result.params, {"x": X, "y": Y}, None, own)["loss"]
    loss = result.evaluation["validation"]["loss"]
    assert loss == pytest.approx(float(total / count), rel=1e-5)
    kernels = [of["Dense_0"]["kernel"] for of in (result.params, result.state.params)]
    assert not np.array_equal(*kernels), "the parameters are averaged"


@pytest.mark.slow
def test_the_best_parameters_keep_the_state_that_was_evaluated_with_them():
    plain = program(made(), eval_every=1, keep="best")
    result = gradjax.run(plain, {"learning_rate": 0.6}, seed=1)
    assert 0 < result.kept_step < NUM_STEPS, "the case needs an earlier best step"
    for found, expected in zip(
        running(result.model_state), statistics(plain, 1, result.kept_step), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=2e-6)


AGAIN = ["sam(sgd, rho=0.05)", "average(sgd)", "lbfgs", "schedule_free_sgd"]


@pytest.mark.parametrize("optimizer", AGAIN)
@pytest.mark.slow
def test_a_step_changes_the_state_once_however_often_it_evaluates_the_loss(optimizer):
    plain = program(made(), optimizer)
    rate = {name: 0.01 for name in plain.hparams if name == "learning_rate"}
    result = gradjax.run(plain, rate)
    assert result.status == "finished"
    for found, expected in zip(
        running(result.model_state), statistics(plain, 0), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=2e-6)


@pytest.mark.slow
def test_a_diverged_run_has_the_state_from_before():
    plain = program(made(factor=1e30), num_steps=12)
    result = gradjax.run(plain, {"learning_rate": 10.0})
    assert result.status == "diverged"
    taken = result.diverged_step - 1
    for found, expected in zip(
        running(result.model_state), statistics(plain, 0, taken), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_gradients_of_examples_are_refused_for_a_network_with_a_state():
    with pytest.raises(gradjax.Refusal, match="has a state .as BatchNorm has."):
        program(made(), "dpsgd(noise_multiplier=1.0, l2_norm_clip=1.0)")


def test_a_state_has_metrics_and_keeps_its_form():
    problem = made()
    with pytest.raises(gradjax.Refusal, match="a state needs metrics"):
        program(problem._replace(metrics=None))

    def grown(*args):
        value, aux, state = problem.loss(*args)
        return value, aux, jax.tree.map(lambda x: jnp.stack([x, x]), state)

    with pytest.raises(gradjax.Refusal, match=r"state\['batch_stats'\].* is float32"):
        program(problem._replace(loss=grown))
    with pytest.raises(gradjax.Refusal, match="aux, new state"):
        program(problem._replace(loss=lambda *args: problem.loss(*args)[:2]))
    with pytest.raises(gradjax.Refusal, match=r"\(params, batch, key, state\)"):
        program(problem._replace(loss=lambda _params, _batch, _key: None))


def test_a_module_with_a_state_tells_training_from_evaluation():
    class Still(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            return nn.BatchNorm(use_running_average=False)(inputs)

    with pytest.raises(gradjax.Refusal, match="expected one of train, training"):
        from_module_with_state(Still(), (3,))


@pytest.mark.slow
def test_a_hypergradient_evaluates_with_the_running_state():
    plain = program(made())
    value, _ = gradjax.hypergradient(plain)({"learning_rate": 0.01}, 2)
    result = gradjax.run(plain, {"learning_rate": 0.01}, seed=2)
    loss = result.evaluation["validation"]["loss"]
    assert float(value) == pytest.approx(loss, rel=1e-5)
