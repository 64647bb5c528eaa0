"""Values against arithmetic, and against optax where the same shape is there."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import Problem
from gradjax.schedules import shape_at, split
from gradjax.training.step import at


def half_cosine(t):
    return (1 + np.cos(np.pi * t)) / 2


def part(t, low, high):
    return np.clip((t - low) / (high - low), 0, 1)


VALUES = {
    "linear(start=0.2, end=0.6)": lambda t: 0.2 + 0.4 * t,
    "cosine(end=0.1)": lambda t: 0.1 + 0.9 * half_cosine(t),
    "cosine_restarts(cycles=5)": lambda t: half_cosine((5 * t + 1e-9) % 1),
    "cosine_restarts(cycles=2, growth=3, end=0.5)": lambda t: (
        0.5
        + 0.5 * np.where(t < 0.25, half_cosine(4 * t), half_cosine((t - 0.25) / 0.75))
    ),
    "exponential(end=0.1)": lambda t: 0.1**t,
    "polynomial(power=3, end=0.1)": lambda t: 0.1 + 0.9 * (1 - t) ** 3,
    "rex": lambda t: (1 - t) / (0.5 + 0.5 * (1 - t)),
    "rex(end=0.2)": lambda t: 0.2 + 0.8 * (1 - t) / (1 - t / 2),
    "one_cycle(warmup=0.25, start=0.1, end=0.2)": lambda t: np.where(
        t < 0.25,
        1 - 0.9 * half_cosine(4 * t),
        0.2 + 0.8 * half_cosine(part(t, 0.25, 1)),
    ),
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
    "piecewise((0, 1, 0.5))": lambda t: np.interp(t, [0, 0.5, 1], [0, 1, 0.5]),
    "[0, 1, 0.5]": lambda t: np.interp(t, [0, 0.5, 1], [0, 1, 0.5]),
    "piecewise((0.2, 1, 0.5), at=(0.1, 0.3, 180))": lambda t: np.interp(
        t, [0.1, 0.3, 0.9], [0.2, 1, 0.5]
    ),
    "piecewise((0.4, 1, 0.5, 0), at=(0, 0.31, 0.31, 1.0))": lambda t: np.where(
        t < 0.3099, 0.4 + 0.6 * t / 0.31, 0.5 * (1 - t) / 0.69
    ),
    "warmup(cosine(end=0.1), fraction=0.05)": lambda t: np.where(
        t < 0.05, 20 * t, 0.1 + 0.9 * half_cosine((t - 0.05) / 0.95)
    ),
    "warmup(linear(0.5, 1), fraction=0.2)": lambda t: np.where(
        t < 0.2, 2.5 * t, 0.5 + 0.5 * (t - 0.2) / 0.8
    ),
    "join(linear(0, 1), cosine(end=0.2), at=0.1)": lambda t: np.where(
        t < 0.1, 10 * t, 0.2 + 0.8 * half_cosine(part(t, 0.1, 1))
    ),
    "join(join(rex, constant, at=0.5), linear(1, 0.5), rex, at=(100, 150))": lambda t: (
        np.select(
            [t < 0.25, t < 0.5, t < 0.75],
            [
                (1 - 4 * t) / (1 - 2 * np.minimum(t, 0.25)),
                1 + 0 * t,
                1 - 0.5 * part(t, 0.5, 0.75),
            ],
            (1 - part(t, 0.75, 1)) / (1 - part(t, 0.75, 1) / 2),
        )
    ),
}


@pytest.mark.parametrize("expression", VALUES)
def test_values_are_the_formula(expression, curve):
    progress = np.arange(200) / 200
    expected = VALUES[expression](progress)
    np.testing.assert_allclose(curve(expression, 200), expected, rtol=2e-5, atol=2e-6)


def cosine_cycle(decay_steps):
    return {
        "init_value": 1.0,
        "peak_value": 1.0,
        "warmup_steps": 0,
        "decay_steps": decay_steps,
        "end_value": 0.1,
    }


OPTAX = {
    "cosine(end=0.1)": optax.cosine_decay_schedule(1.0, 100, 0.1),
    "cosine_restarts(cycles=2, growth=4, end=0.1)": optax.sgdr_schedule(
        [cosine_cycle(20), cosine_cycle(80)]
    ),
    "linear(end=0.3)": optax.linear_schedule(1.0, 0.3, 100),
    "exponential(end=0.5)": optax.exponential_decay(1.0, 100, 0.5),
    "one_cycle": optax.cosine_onecycle_schedule(100, 1.0),
    "piecewise((0.2, 1, 0.1), at=(0, 30, 100))": optax.piecewise_interpolate_schedule(
        "linear", 0.2, {30: 5.0, 100: 0.1}
    ),
    "polynomial(power=2, end=0.2)": optax.polynomial_schedule(1.0, 0.2, 2, 100),
    "step(at=(30, 71), factor=0.5)": optax.piecewise_constant_schedule(
        1.0, {30: 0.5, 71: 0.5}
    ),
    "warmup_constant(warmup=10)": optax.warmup_constant_schedule(0.0, 1.0, 10),
    "warmup_cosine(warmup=10, end=0.1)": optax.warmup_cosine_decay_schedule(
        0.0, 1.0, 10, 100, 0.1
    ),
    "warmup(cosine(end=0.1), fraction=10)": optax.warmup_cosine_decay_schedule(
        0.0, 1.0, 10, 100, 0.1
    ),
    "warmup_linear(warmup=10)": optax.join_schedules(
        [optax.linear_schedule(0.0, 1.0, 10), optax.linear_schedule(1.0, 0.0, 90)], [10]
    ),
    "join(linear(0, 1), cosine, exponential, at=(10, 40))": optax.join_schedules(
        [
            optax.linear_schedule(0.0, 1.0, 10),
            optax.cosine_decay_schedule(1.0, 30),
            optax.exponential_decay(1.0, 60, 0.01),
        ],
        [10, 40],
    ),
}


@pytest.mark.parametrize("expression", OPTAX)
def test_values_are_those_of_optax(expression, curve):
    theirs = jax.jit(jax.vmap(OPTAX[expression]))
    expected = theirs(jnp.arange(100))
    if expression.startswith("step"):  # optax changes one step after the boundary
        expected = theirs(jnp.arange(1, 101))
        expected = np.where(
            np.isin(np.arange(100), [29, 70]), curve(expression), expected
        )
    np.testing.assert_allclose(curve(expression), expected, rtol=1e-5, atol=2e-6)


@pytest.mark.slow
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


INSIDE = {  # steps of the run -> where a step inside a part, 7 steps in, is met
    "join(constant, step(at=(7,)), at={at})": 7,
    "warmup(step(at=(7,)), fraction={at})": 7,
    "join(constant, join(constant, step(at=(3,)), at=4), at={at})": 7,
    "join(linear(1, 1), cosine_restarts(cycles=2), at={at})": None,
    "join(constant, piecewise((1, 1, 0.1, 0.1), at=(0, 7, 7, 1.0)), at={at})": 7,
}


@pytest.mark.parametrize("expression", INSIDE)
@pytest.mark.parametrize("num_steps", [47, 300, 9_375, 100_000])
@pytest.mark.slow
def test_a_boundary_in_a_part_is_met_at_its_step(expression, num_steps):
    """A part is a difference of rounded fractions: narrow ones are the worst."""
    places = np.unique(np.linspace(1, num_steps - 20, 40).astype(int))
    schedule, _ = split(expression.format(at=int(places[0])), num_steps)

    @jax.jit
    def value(numbers, i):
        progress = i.astype(jnp.float32) / num_steps
        return shape_at(schedule, numbers, progress)

    late = []
    for place in map(int, places):
        numbers = split(expression.format(at=place), num_steps)[1]
        numbers = {path: jnp.asarray(v, jnp.float32) for path, v in numbers.items()}
        inside = INSIDE[expression]
        if inside is None and (num_steps - place) % 2:
            continue
        first = place + (inside or (num_steps - place) // 2)
        before, on = (value(numbers, jnp.uint32(i)) for i in (first - 1, first))
        is_met = before < 0.1 < 0.9 < on if inside is None else on < 0.5 < before
        late += [] if is_met else [(place, float(before), float(on))]
    assert late == []
