"""The loop over the steps writes the gradients that a measurement may read."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax.training import loop
from gradjax.training import step as steps
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


def written(program):
    plan, data = program.plan, program.plan.problem.data.train.arrays

    def shapes():
        state = steps.init(plan, program.hparams, jnp.uint32(0))
        return loop.step_shapes(plan, state, program.hparams, data).grads

    return jax.eval_shape(
        lambda: jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes())
    )


OPTIMIZERS = {
    "sgd": True,
    "multi_steps(adam, every=2)": True,
    # The gradients of all examples would stay in memory.
    "dpsgd(l2_norm_clip=1, noise_multiplier=1)": False,
    blind: False,  # the compiler computes none
}


@pytest.mark.parametrize(("optimizer", "is_written"), OPTIMIZERS.items())
def test_the_gradient_that_an_optimizer_takes_is_written(optimizer, is_written):
    found = written(program_of(optimizer))
    assert [leaf.shape for leaf in jax.tree.leaves(found)] == [(1,)] * is_written


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_one_way_keeps_the_gradient_apart(backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    program = program_of("sgd")
    plan, source = program.plan, program.plan.problem.data.train
    state = program.init(program.hparams, jnp.uint32(0))

    def taken(state, i, never):
        body = loop.body_of_loop(plan, program.hparams, jnp.uint32(0), source.arrays)
        state, _, grads = body(state, i, jnp.arange(8, dtype=jnp.uint32))
        return loop.written(state, grads, never)

    args = state, jnp.uint32(0), jnp.bool(False)
    said = str(jax.make_jaxpr(taken)(*args))
    found = {name for name in ("cond[", "optimization_barrier") if name in said}
    expected = "cond[" if backend == "cpu" else "optimization_barrier"
    assert found == {expected}
    after = taken(*args)
    assert bool(after.alive) and after.params[0] != state.params[0]


@pytest.mark.parametrize("optimizer", ["sgd", blind])
def test_a_measurement_has_the_states_and_the_gradient_of_the_step(optimizer):
    def seen(loss, params, batch, grads, updates, params_after):
        grad = jax.grad(loss)(params, batch)
        return {
            "params": params[0],
            "params_after": params_after[0],
            "updates": updates[0],
            "grads": grads[0],
            "expected": grad[0],
        }

    rate = {"learning_rate": 0.01}
    plain, program = (
        program_of(optimizer),
        program_of(optimizer, [Diagnostic(seen, every=1)]),
    )
    trace = gradjax.run(program, rate).trace
    path = [float(s.params[0]) for _, s in gradjax.steps(plain, rate)]
    found = {name: trace[f"seen.{name}"].values for name in ("params", "params_after")}
    np.testing.assert_allclose(found["params"], path[:-1], rtol=1e-6)
    np.testing.assert_allclose(found["params_after"], path[1:], rtol=1e-6)
    updates, grads = trace["seen.updates"].values, trace["seen.grads"].values
    np.testing.assert_array_equal(updates, found["params_after"] - found["params"])
    np.testing.assert_allclose(grads, trace["seen.expected"].values, rtol=1e-5)


def test_measurements_at_two_intervals_have_their_own_steps():
    def counted(step, params):
        return {"step": step, "params": params[0]}

    program = program_of("sgd")
    path = [float(s.params[0]) for _, s in gradjax.steps(program)]
    both = [
        Diagnostic(counted, every=5, name="five"),
        Diagnostic(counted, every=4, name="four"),
    ]
    trace = gradjax.run(program_of("sgd", both)).trace
    for name, expected in (("five", [0, 5, 10]), ("four", [0, 4, 8])):
        np.testing.assert_array_equal(trace[f"{name}.step"].values, expected)
        np.testing.assert_allclose(
            trace[f"{name}.params"].values, [path[k] for k in expected], rtol=1e-6
        )
