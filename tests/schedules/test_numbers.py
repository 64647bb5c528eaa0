"""A schedule as a plain array: one traced f32[n], to be searched and differentiated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Problem
from gradjax.errors import Refusal
from gradjax.schedules import split

KEY = "schedule.values"
VALUES = [1.0, 0.5, 0.1]
FORMS = {
    "a list": VALUES,
    "a tuple": (1, 0.5, np.float32(0.1)),
    "numpy": np.asarray(VALUES),
    "jax": jnp.asarray(VALUES),
    "a flag": "[1, 0.5, 0.1]",
    "a call": "piecewise((1, 0.5, 0.1))",
}
CURVATURES = jnp.asarray([1.0, 0.25])


@pytest.fixture(scope="module")
def quadratic():
    def loss(params, *_):
        return 0.5 * (CURVATURES * params**2).sum(), {}

    return Problem(lambda _: jnp.ones(2), loss)


def program_of(problem, schedule=VALUES, num_steps=8):
    return gradjax.program(
        problem, "sgd(learning_rate=0.5)", schedule, num_steps=num_steps
    )


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_one_number_of_the_run(form, quadratic):
    program = program_of(quadratic, FORMS[form])
    assert set(program.hparams) == {"optimizer.learning_rate", KEY}
    assert program.hparams[KEY].dtype == np.float32
    np.testing.assert_array_equal(program.hparams[KEY], np.float32(VALUES))
    assert hash(program.plan.schedule) == hash(split(VALUES, 8)[0])
    rates = gradjax.run(program).trace["learning_rate"].values
    expected = 0.5 * np.interp(np.arange(8) / 8, [0, 0.5, 1], VALUES)
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_a_value_a_step_and_one_for_the_end(quadratic):
    values = np.random.default_rng(0).uniform(size=1_001).astype(np.float32)
    rates = gradjax.run(program_of(quadratic, values, 1_000)).trace["learning_rate"]
    np.testing.assert_allclose(rates.values, 0.5 * values[:-1], atol=1e-4)


@pytest.mark.filterwarnings("ignore:nothing was learned")
def test_other_values_need_no_compilation():
    traces = []

    def loss(params, *_):
        traces.append(None)
        return 0.5 * params**2, {}

    program = program_of(Problem(lambda _: jnp.ones(()), loss))
    first, count = gradjax.run(program), len(traces)
    for values in ([0, 0, 0], (1, 1, 1), np.zeros(3, int), jnp.zeros(3)):
        other = gradjax.run(program, {KEY: values})
        assert other.params != first.params
    assert len(traces) == count
    assert gradjax.run(program, {KEY: [0, 0, 0]}).params == 1.0


WRONG = [
    (0.5, "schedule.values: expected 3 numbers, as f32[3]"),
    ([0.5, 0.5], "expected 3 numbers"),
    ([[0.5], [0.5], [0.5]], "expected 3 numbers"),
    ([[0.5], [0.5, 0.5], 1], "expected 3 numbers"),
    (["1", "0", "1"], "expected 3 numbers"),
    ([True, True, False], "expected 3 numbers"),
    (None, "expected 3 numbers"),
    ([1, 0.5, 1.1], "expected a part of the run, in [0, 1]"),
    ([1, 0.5, float("nan")], "expected a part of the run, in [0, 1]"),
]


@pytest.mark.parametrize(("values", "line"), WRONG)
def test_refuses_other_numbers_in_one_line(values, line, quadratic):
    with pytest.raises(Refusal) as refused:
        gradjax.run(program_of(quadratic), {KEY: values})
    assert line in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def final_loss(program):
    """values f32[n] -> the loss after the run, through every step."""
    num_steps = program.plan.num_steps

    def run(values):
        numbers = {**program.hparams, KEY: values}

        def body(state, i):
            key = jax.random.key(0)
            return program.step(state, None, numbers, key, i)

        steps = jnp.arange(num_steps, dtype=jnp.uint32)
        state, _ = jax.lax.scan(body, program.init(numbers, jnp.uint32(0)), steps)
        return program.plan.problem.loss(state.params)[0]

    return run


def test_the_gradient_through_a_run_is_the_slope(quadratic):
    """Against central differences of the closed form, in float64."""
    found = jax.jit(jax.grad(final_loss(program_of(quadratic))))(jnp.asarray(VALUES))

    def closed(values):
        rates = 0.5 * np.interp(np.arange(8) / 8, [0, 0.5, 1], values)
        curvatures = np.asarray(CURVATURES, np.float64)
        params = np.prod(1 - rates[:, None] * curvatures[None], axis=0)
        return 0.5 * (curvatures * params**2).sum()

    expected = [
        (closed(VALUES + 1e-5 * unit) - closed(VALUES - 1e-5 * unit)) / 2e-5
        for unit in np.eye(3)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.slow
def test_descending_on_the_values_finds_a_better_schedule(quadratic):
    loss = jax.jit(jax.value_and_grad(final_loss(program_of(quadratic))))
    values = jnp.asarray([0.1, 0.1, 0.1])
    before, _ = loss(values)
    for _ in range(20):
        values = jnp.clip(values - 0.5 * loss(values)[1], 0.0, 1.0)
    assert loss(values)[0] < 0.3 * before


@pytest.mark.slow
def test_trials_are_mapped_over_values(quadratic):
    loss = final_loss(program_of(quadratic))
    lanes = jnp.asarray([[1.0, 0.5, 0.1], [0.2, 0.2, 0.2]])
    alone = [loss(values) for values in lanes]
    np.testing.assert_allclose(jax.jit(jax.vmap(loss))(lanes), alone, rtol=1e-6)


@pytest.mark.slow
def test_values_are_kept_in_the_record(tmp_path, typed):
    flags = ("--problem=booth", "--steps=4", "--schedule=[1, 0.5]", "--noplot")
    ended = typed("experiments.minimize", *flags, "--optimizer=sgd(1e-3)")
    assert ended.returncode == 0, ended.stderr
    (folder,) = (tmp_path / "runs" / "minimize").iterdir()
    found = gradjax.load(folder)
    assert found.config["settings"]["schedule"] == "[1, 0.5]"
    expected = 1e-3 * np.asarray([1.0, 0.875, 0.75, 0.625])
    np.testing.assert_allclose(found.trace["learning_rate"].values, expected, rtol=1e-6)
