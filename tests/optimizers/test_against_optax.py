"""Our step against the library's own loop, and against the formulas in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax

NUM_STEPS = 25
RATE = 0.05

SAME = {
    "adam(b1=0.8, b2=0.95, eps=1e-6)": optax.adam(RATE, 0.8, 0.95, 1e-6),
    "adam(nesterov=True)": optax.adam(RATE, nesterov=True),
    "adamw(weight_decay=0.1)": optax.adamw(RATE, weight_decay=0.1),
    "sgd(momentum=0.9)": optax.sgd(RATE, 0.9),
    "sgd(momentum=0.9, nesterov=True)": optax.sgd(RATE, 0.9, True),
    "lion(b1=0.8)": optax.lion(RATE, 0.8),
    "chain(clip_by_global_norm(0.7), adam)": optax.chain(
        optax.clip_by_global_norm(0.7), optax.adam(RATE)
    ),
    "chain(clip(0.5), add_decayed_weights(0.01), sgd(momentum=0.5))": optax.chain(
        optax.clip(0.5), optax.add_decayed_weights(0.01), optax.sgd(RATE, 0.5)
    ),
}


def optax_loop(transformation, problem, num_steps=NUM_STEPS):
    """What a tutorial writes: (parameters, losses)."""
    params = problem.init(jax.random.key(0))
    state = transformation.init(params)

    @jax.jit
    def step(params, state):
        (value, _), grads = jax.value_and_grad(problem.loss, has_aux=True)(
            params, None, None
        )
        updates, state = transformation.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    losses = []
    for _ in range(num_steps):
        params, state, value = step(params, state)
        losses.append(float(value))
    return params, losses


def assert_same(result, params, losses):
    np.testing.assert_allclose(result.trace["loss"].values, losses, rtol=2e-6)
    for ours, theirs in zip(
        jax.tree.leaves(result.params), jax.tree.leaves(params), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)


SLOW = {
    *("adam(nesterov=True)", "lion(b1=0.8)", "sgd(momentum=0.9)"),
    *("a partial", "an import path", "one inside a chain"),
}


def but_slow(names):
    return [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in names]


@pytest.mark.parametrize("expression", but_slow(SAME))
def test_an_expression_is_the_optax_loop(expression, quadratic):
    program = gradjax.program(quadratic, expression, num_steps=NUM_STEPS)
    result = gradjax.run(program, {"learning_rate": RATE})
    assert_same(result, *optax_loop(SAME[expression], quadratic))


OTHER_FORMS = {
    "a function": optax.adam,
    "a partial": functools.partial(optax.adam, b1=0.9),
    "an import path": "optax:adam",
    "an import path with arguments": "optax:adam(b1=0.9)",
    "a finished transformation": optax.adam(RATE),
    "one inside a chain": "chain(optax:adam(b1=0.9))",
}


@pytest.mark.parametrize("form", but_slow(OTHER_FORMS))
def test_another_form_is_the_optax_loop(form, quadratic):
    program = gradjax.program(quadratic, OTHER_FORMS[form], num_steps=NUM_STEPS)
    rate = {"learning_rate": RATE} if "learning_rate" in program.hparams else {}
    assert bool(rate) is (form != "a finished transformation")
    assert_same(gradjax.run(program, rate), *optax_loop(optax.adam(RATE), quadratic))


def test_a_partials_positional_arguments_count(quadratic):
    program = gradjax.program(quadratic, functools.partial(optax.sgd, 0.2), num_steps=3)
    assert program.hparams == {"optimizer.learning_rate": 0.2}
    assert_same(gradjax.run(program), *optax_loop(optax.sgd(0.2), quadratic, 3))


@pytest.mark.slow
def test_a_partials_mask_and_dtype_are_kept(quadratic):
    def is_matrix(params):
        return jax.tree.map(lambda x: x.ndim > 1, params)

    given = {"weight_decay": 0.5, "mask": is_matrix}
    program = gradjax.program(
        quadratic, functools.partial(optax.adamw, RATE, **given), num_steps=NUM_STEPS
    )
    expected = optax_loop(optax.adamw(RATE, **given), quadratic)
    assert_same(gradjax.run(program), *expected)
    half = functools.partial(optax.adam, mu_dtype=jnp.bfloat16)
    state = gradjax.run(gradjax.program(quadratic, half, num_steps=2)).state
    assert optax.tree_utils.tree_get(state.opt_state, "mu")["b"].dtype == jnp.bfloat16


@pytest.mark.slow
def test_a_schedule_is_the_optax_schedule(quadratic):
    schedule = optax.cosine_decay_schedule(RATE, NUM_STEPS, 0.1)
    program = gradjax.program(quadratic, "adam", "cosine(end=0.1)", num_steps=NUM_STEPS)
    result = gradjax.run(program, {"learning_rate": RATE})
    assert_same(result, *optax_loop(optax.adam(schedule), quadratic))


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.slow
def test_schedule_free_is_scored_at_its_average(wrapped, quadratic):
    name = "schedule_free_adamw"
    name = f"chain(clip_by_global_norm(100.0), {name})" if wrapped else name
    result = gradjax.run(
        gradjax.program(quadratic, name, num_steps=NUM_STEPS), {"learning_rate": RATE}
    )
    averaging = optax.contrib.schedule_free_adamw(RATE)
    params, losses = quadratic.init(None), []
    state = averaging.init(params)
    value_and_grad = jax.jit(jax.value_and_grad(lambda p: quadratic.loss(p)[0]))
    update = jax.jit(averaging.update)
    for _ in range(NUM_STEPS):
        value, grads = value_and_grad(params)
        updates, state = update(grads, state, params)
        params, losses = optax.apply_updates(params, updates), [*losses, value]
    expected = optax.contrib.schedule_free_eval_params(state, params)
    assert_same(result, expected, losses)
    assert not np.allclose(expected["w"], params["w"], atol=1e-4)


@pytest.mark.slow
def test_a_function_that_is_registered_brings_its_entry(quadratic):
    for known in (
        optax.contrib.schedule_free_adamw,
        "optax.contrib:schedule_free_adamw",
    ):
        spec = gradjax.program(quadratic, known, num_steps=1).plan.optimizer
        assert spec.entry.eval_params is not None
    for known in (optax.lbfgs, "optax:lbfgs"):
        assert gradjax.program(quadratic, known, num_steps=1).plan.optimizer.entry.needs
