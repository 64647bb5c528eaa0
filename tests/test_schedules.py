import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import Problem, schedules
from gradjax.errors import Refusal
from gradjax.schedules import SCHEDULES, shape_at, split
from gradjax.step import at

ENDS = {  # at progress 0 and 1, with the default arguments
    "constant": (1.0, 1.0),
    "cosine": (1.0, 0.0),
    "exponential": (1.0, 0.01),
    "inverse_sqrt": (0.0, 0.1**0.5),
    "linear": (1.0, 0.0),
    "polynomial": (1.0, 0.0),
    "step": (1.0, 0.01),
    "warmup_constant": (0.0, 1.0),
    "warmup_cosine": (0.0, 0.0),
    "warmup_linear": (0.0, 0.0),
    "wsd": (0.0, 0.0),
}
EXTREMES = [
    "linear(start=0, end=1)",
    "cosine(end=1.0)",
    "exponential(end=1e-30)",
    "polynomial(power=50.0)",
    "polynomial(power=0.01, end=0.5)",
    "step(at=(), factor=0.5)",
    "step(at=(0.0, 1.0))",
    "inverse_sqrt(warmup=0)",
    "inverse_sqrt(warmup=1.0)",
    "warmup_constant(warmup=0)",
    "warmup_constant(warmup=1.0)",
    "warmup_cosine(warmup=0, end=0.1)",
    "warmup_cosine(warmup=1.0)",
    "warmup_linear(warmup=0)",
    "wsd(warmup=0, decay=1.0)",
    "wsd(warmup=0.5, decay=0.5)",
    "wsd(warmup=0, decay=0)",
]
EVERY = [*SCHEDULES, *EXTREMES]


def numbers_of(expression, num_steps=100):
    schedule, numbers = split(expression, num_steps)
    return schedule, {path: jnp.float32(value) for path, value in numbers.items()}


def curve(expression, num_steps=100, past_the_end=False):
    """The shape at every step of a run, as the program computes it."""
    schedule, numbers = numbers_of(expression, num_steps)
    steps = jnp.arange(num_steps + past_the_end, dtype=jnp.uint32)
    at_step = jax.vmap(
        lambda i: shape_at(schedule, numbers, i.astype(jnp.float32) / num_steps)
    )
    return np.asarray(jax.jit(at_step)(steps))


def test_every_schedule_has_its_ends_here():
    assert ENDS.keys() == SCHEDULES.keys()


@pytest.mark.parametrize("expression", EVERY)
@pytest.mark.parametrize("num_steps", [1, 1_000])
def test_values_are_finite_and_in_the_unit_interval(expression, num_steps):
    values = curve(expression, num_steps)
    assert values.shape == (num_steps,) and values.dtype == np.float32
    assert np.all((values >= 0) & (values <= 1))


@pytest.mark.parametrize("name", SCHEDULES)
def test_ends(name):
    values = curve(name, 50, past_the_end=True)
    np.testing.assert_allclose(values[[0, -1]], ENDS[name], atol=1e-6)


@pytest.mark.parametrize("expression", EVERY)
def test_gradients_are_finite(expression):
    schedule, numbers = numbers_of(expression)

    def value(numbers, progress):
        return shape_at(schedule, numbers, progress)

    progress = jnp.linspace(0, 0.99, 34)
    grads = jax.jit(jax.vmap(jax.grad(value), (None, 0)))(numbers, progress)
    for path, grad in grads.items():
        assert np.isfinite(grad).all(), path


def test_a_gradient_is_the_slope():
    schedule, numbers = numbers_of("cosine(end=0.2)")
    grad = jax.grad(lambda numbers: shape_at(schedule, numbers, jnp.float32(0.25)))
    expected = 1 - 0.5 * (1 + np.cos(np.pi * 0.25))
    np.testing.assert_allclose(grad(numbers)["schedule.end"], expected, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "constant"])
def test_arguments_may_be_traced_and_mapped(name):
    schedule, numbers = numbers_of(name)
    factors = jnp.asarray([0.5, 1.0])
    lanes = {path: factors * value for path, value in numbers.items()}
    value = functools.partial(shape_at, schedule, progress=jnp.float32(0.3))
    mapped = jax.jit(jax.vmap(value))(lanes)
    alone = [value({path: v[lane] for path, v in lanes.items()}) for lane in (0, 1)]
    np.testing.assert_allclose(mapped, alone, rtol=1e-6)


VALUES = {
    "linear(start=0.2, end=0.6)": lambda t: 0.2 + 0.4 * t,
    "cosine(end=0.1)": lambda t: 0.1 + 0.9 * (1 + np.cos(np.pi * t)) / 2,
    "exponential(end=0.1)": lambda t: 0.1**t,
    "polynomial(power=3, end=0.1)": lambda t: 0.1 + 0.9 * (1 - t) ** 3,
    "inverse_sqrt(warmup=0.25)": lambda t: np.where(
        t < 0.25, 4 * t, np.sqrt(0.25 / np.maximum(t, 0.25))
    ),
    "warmup_linear(warmup=0.2, end=0.5)": lambda t: np.where(
        t < 0.2, 5 * t, 1 - 0.5 * (t - 0.2) / 0.8
    ),
    "wsd(warmup=0.1, decay=0.5)": lambda t: np.minimum(
        np.minimum(10 * t, 1), 2 * (1 - t)
    ),
    "step(at=(0.3, 0.6), factor=0.5)": lambda t: np.select(
        [t < 0.299, t < 0.599], [1, 0.5], 0.25
    ),
}


@pytest.mark.parametrize("expression", VALUES)
def test_values_are_the_formula(expression):
    progress = np.arange(200) / 200
    expected = VALUES[expression](progress)
    np.testing.assert_allclose(curve(expression, 200), expected, rtol=2e-5, atol=1e-6)


OPTAX = {
    "cosine(end=0.1)": optax.cosine_decay_schedule(1.0, 100, 0.1),
    "linear(end=0.3)": optax.linear_schedule(1.0, 0.3, 100),
    "exponential(end=0.5)": optax.exponential_decay(1.0, 100, 0.5),
    "polynomial(power=2, end=0.2)": optax.polynomial_schedule(1.0, 0.2, 2, 100),
    "step(at=(30, 71), factor=0.5)": optax.piecewise_constant_schedule(
        1.0, {30: 0.5, 71: 0.5}
    ),
    "warmup_constant(warmup=10)": optax.warmup_constant_schedule(0.0, 1.0, 10),
    "warmup_cosine(warmup=10, end=0.1)": optax.warmup_cosine_decay_schedule(
        0.0, 1.0, 10, 100, 0.1
    ),
    "warmup_linear(warmup=10)": optax.join_schedules(
        [optax.linear_schedule(0.0, 1.0, 10), optax.linear_schedule(1.0, 0.0, 90)], [10]
    ),
}


@pytest.mark.parametrize("expression", OPTAX)
def test_values_are_those_of_optax(expression):
    theirs = jax.jit(jax.vmap(OPTAX[expression]))
    expected = theirs(jnp.arange(100))
    if expression.startswith("step"):  # optax changes one step after the boundary
        expected = theirs(jnp.arange(1, 101))
        expected = np.where(
            np.isin(np.arange(100), [29, 70]), curve(expression), expected
        )
    np.testing.assert_allclose(curve(expression), expected, rtol=1e-5, atol=1e-6)


def test_ints_are_steps_and_floats_are_fractions():
    assert split("warmup_cosine(warmup=10)", 40)[1]["schedule.warmup"] == 0.25
    assert split("warmup_cosine(warmup=0.25)", 40)[1]["schedule.warmup"] == 0.25
    assert split("warmup_cosine(warmup=1)", 40)[1]["schedule.warmup"] == 1 / 40
    assert split("warmup_cosine(warmup=1.0)", 40)[1]["schedule.warmup"] == 1.0
    _, numbers = split("step(at=(10, 0.5), factor=1)", 40)
    assert numbers == {
        "schedule.at.0": 0.25,
        "schedule.at.1": 0.5,
        "schedule.factor": 1.0,
    }


def test_a_boundary_is_met_at_its_step_in_a_run_of_any_length():
    """XLA turns i / n into i * (1 / n), which is an ulp short at one i in six."""
    problem = Problem(lambda _: jnp.ones(()), lambda params, *_: (params, {}))
    program = gradjax.program(problem, "sgd", "step(at=(1,))", num_steps=3)

    def wrong(num_steps):
        plan = program.plan._replace(num_steps=num_steps)
        counts = jnp.arange(1, num_steps, dtype=jnp.uint32)

        def rates(count):
            boundary = (count / num_steps).astype(jnp.float32)
            numbers = {"learning_rate": 1.0, "schedule.factor": 0.5}
            numbers |= {"schedule.at.0": boundary}
            before, on = at(plan, numbers, count - 1), at(plan, numbers, count)
            return jnp.stack([before["learning_rate"], on["learning_rate"]])

        return (jax.jit(jax.vmap(rates))(counts) != jnp.asarray([[1.0, 0.5]])).sum()

    assert [n for n in (41, 47, 300, 1_000, 9_375, 100_000) if wrong(n)] == []


REFUSED = {
    "cosin": "did you mean 'cosine'",
    "zzz": "one of: constant, cosine",
    "cosine(stop=0.1)": "its arguments: end",
    "cosine(0.1, 0.2)": "too many positional arguments",
    "constant(1.0)": "its arguments: none",
    "cosine(end=1.5)": "expected a number in [0, 1]",
    "cosine(end=-0.1)": "expected a number in [0, 1]",
    "cosine(end='low')": "expected a number",
    "cosine(end=True)": "expected a number",
    "cosine(end=None)": "expected a number",
    "linear(start=2)": "expected a number in [0, 1]",
    "linear(start=(0.1, 0.2))": "not a tuple",
    "polynomial(power=0)": "expected a positive number",
    "polynomial(power=-1.0)": "expected a positive number",
    "polynomial(power='x')": "expected a positive number",
    "warmup_cosine(warmup=101)": "101 steps, but the run has 100",
    "warmup_cosine(warmup=-1)": "-1 steps, but the run has 100",
    "warmup_cosine(warmup=1.01)": "expected a number in [0, 1]",
    "wsd(warmup=0.6, decay=0.6)": "is more than the run",
    "wsd(warmup=60, decay=41)": "is more than the run",
    "step(at=(0.5, 0.3))": "not sorted",
    "step(at=(50, 0.3))": "not sorted",
    "step(at=(101,))": "101 steps",
    "step(at=0.5)": "expected a tuple such as (0.5, 0.75)",
    "step(at=((0.1,),))": "not a tuple",
    "step(at=('a',))": "expected a number",
    "no_such_module:shape": "cannot import 'no_such_module:shape'",
    "math:pi": "is not a function",
    "builtins:max": "is not a function",
    "1 + 1": "not allowed",
}


@pytest.mark.parametrize("expression", REFUSED)
def test_refuses_in_one_line(expression):
    with pytest.raises(Refusal) as refused:
        split(expression, 100)
    assert REFUSED[expression] in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_shape_of_ones_own(tmp_path, monkeypatch):
    source = "def saw(progress, depth=0.5):\n    return 1 - depth * progress\n"
    (tmp_path / "own_shape.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    np.testing.assert_allclose(curve("own_shape:saw(depth=0.2)", 2), [1.0, 0.9])


def test_check_refuses_what_split_would():
    good = {"schedule.at.0": 0.2, "schedule.at.1": 0.4, "schedule.power": 7.0}
    schedules.check(good)
    for wrong in (
        {"schedule.end": 1.1},
        {"schedule.warmup": -0.1},
        {"schedule.power": 0.0},
        {"schedule.warmup": 0.7, "schedule.decay": 0.7},
        {"schedule.at.0": 0.5},
    ):
        with pytest.raises(Refusal):
            schedules.check(good | wrong)
