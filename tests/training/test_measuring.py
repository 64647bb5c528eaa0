"""What a measurement has of the step that it measures."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax.types import Diagnostic

X = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]


def blind(learning_rate):
    """Moves by the loss alone, as a search without gradients does."""

    def update(_, state, params, *, value):
        move = jax.tree.map(lambda x: jnp.full_like(x, -learning_rate * value), params)
        return move, state

    return optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)


def program_of(optimizer, diagnostics=None):
    problem = gradjax.problem(
        lambda params, batch, _key: (((batch["x"] @ params - 1) ** 2).mean(), {}),
        jnp.array([3.0]),
        {"x": X},
    )
    return gradjax.program(
        problem, optimizer, num_steps=12, batch_size=8, diagnostics=diagnostics
    )


@pytest.mark.parametrize("optimizer", ["sgd", blind])
def test_it_has_the_states_and_the_gradient_of_the_step(optimizer):
    def seen(loss, params, batch, grads, updates, params_after):
        return {
            "params": params[0],
            "params_after": params_after[0],
            "updates": updates[0],
            "grads": grads[0],
            "expected": jax.grad(loss)(params, batch)[0],
        }

    rate = {"learning_rate": 0.01}
    program = program_of(optimizer, [Diagnostic(seen, every=1)])
    trace = gradjax.run(program, rate).trace
    path = [
        float(state.params[0])
        for _, state in gradjax.steps(program_of(optimizer), rate)
    ]
    before, after = trace["seen.params"].values, trace["seen.params_after"].values
    np.testing.assert_allclose(before, path[:-1], rtol=1e-6)
    np.testing.assert_allclose(after, path[1:], rtol=1e-6)
    np.testing.assert_array_equal(trace["seen.updates"].values, after - before)
    grads, expected = trace["seen.grads"].values, trace["seen.expected"].values
    np.testing.assert_allclose(grads, expected, rtol=1e-5)


def test_each_interval_has_its_own_steps():
    def counted(step, params):
        return {"step": step, "params": params[0]}

    path = [float(state.params[0]) for _, state in gradjax.steps(program_of("sgd"))]
    both = [
        Diagnostic(counted, every=5, name="five"),
        Diagnostic(counted, every=4, name="four"),
    ]
    trace = gradjax.run(program_of("sgd", both)).trace
    for name, expected in (("five", [0, 5, 10]), ("four", [0, 4, 8])):
        np.testing.assert_array_equal(trace[f"{name}.step"].values, expected)
        values = trace[f"{name}.params"].values
        np.testing.assert_allclose(values, [path[k] for k in expected], rtol=1e-6)
