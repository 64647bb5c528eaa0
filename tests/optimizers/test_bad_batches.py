"""A run goes on after a bad batch where its optimizer is there for that."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax

TOLERANT = {
    "apply_if_finite": "apply_if_finite(sgd(0.1), max_consecutive_errors=2)",
    "in a chain": "chain(apply_if_finite(sgd(0.1), max_consecutive_errors=2))",
    "finished": optax.apply_if_finite(optax.sgd(0.1), 2),
    "finished, in a chain": optax.chain(
        optax.apply_if_finite(optax.sgd(0.1), 2), optax.scale(1.0)
    ),
    "finished MultiSteps": optax.MultiSteps(
        optax.sgd(0.1), 1, should_skip_update_fn=optax.skip_not_finite
    ),
}


def problem_with(is_bad):
    """Half of (p - 1)^2, or an infinite loss for the examples that are bad."""

    def loss(p, batch, _key):
        return 0.5 * (p - 1.0) ** 2 / (1.0 - batch["is_bad"].max()), {}

    train = {"is_bad": np.float32(is_bad)[:, None]}
    return gradjax.problem(loss, jnp.float32(3.0), train)


def run(problem, optimizer, num_steps):
    program = gradjax.program(problem, optimizer, num_steps=num_steps, batch_size=1)
    return gradjax.run(program)


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(n, marks=[pytest.mark.slow] * (n != "apply_if_finite"))
        for n in TOLERANT
    ],
)
def test_the_run_goes_on_and_the_trace_shows_the_loss(form):
    result = run(problem_with([0, 0, 1, 0]), TOLERANT[form], 8)
    losses, tolerated = (result.trace[n].values for n in ("loss", "tolerated"))
    assert (result.status, result.diverged_step, result.num_steps) == (
        "finished",
        None,
        8,
    )
    assert np.isinf(losses).sum() == 2
    np.testing.assert_array_equal(tolerated == 1.0, np.isinf(losses))
    np.testing.assert_allclose(result.params, 1.0 + 2.0 * 0.9**6, rtol=1e-5)


def test_the_run_ends_when_the_wrapper_gives_up():
    result = run(problem_with([1, 1, 1, 1]), TOLERANT["apply_if_finite"], 8)
    assert (result.status, result.diverged_step) == ("diverged", 3)
    assert result.params == 3.0
    np.testing.assert_array_equal(
        result.trace["tolerated"].values[:3], np.float32([1.0, 1.0, 0.0])
    )


@pytest.mark.slow
def test_each_trial_of_a_sweep_tolerates_its_own_losses():
    found = gradjax.sweep(
        problem_with([0, 1, 0, 0, 0, 0, 0, 0]),
        "apply_if_finite(sgd, max_consecutive_errors=1)",
        {"learning_rate": [0.1, 1e30, 0.2]},
        num_steps=8,
        batch_size=1,
        lane_width=3,
    )
    assert found.status.tolist() == ["finished", "diverged", "finished"]
    np.testing.assert_allclose(
        found.params[[0, 2]], [1.0 + 2.0 * 0.9**7, 1.0 + 2.0 * 0.8**7], rtol=1e-5
    )


@pytest.mark.parametrize("name", ["tolerated", "optimizer.b1"])
def test_the_names_of_the_curves_of_a_step_are_reserved(name):
    problem = gradjax.problem(lambda p, *_: (p**2, {name: p}), jnp.float32(1.0))
    with pytest.raises(gradjax.Refusal, match="this name is reserved"):
        gradjax.program(problem, "sgd", num_steps=1)
