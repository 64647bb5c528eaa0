"""Schedules that are given as functions, from Python and by an import path."""

import functools

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import Refusal, problems, schedules

PROBLEM = problems.make("quadratic")


def half(progress, floor=0.25):
    return jnp.maximum(1.0 - progress, floor)


def rates(schedule, num_steps=8, **numbers):
    program = gradjax.program(PROBLEM, "sgd", schedule, num_steps=num_steps)
    result = gradjax.run(program, {"learning_rate": 1e-3, **numbers})
    return result.trace["learning_rate"].values / 1e-3


@pytest.mark.slow
def test_a_function_of_progress_is_the_shape_and_its_arguments_are_hyperparameters():
    progress = np.arange(8) / 8
    np.testing.assert_allclose(rates(half), np.maximum(1 - progress, 0.25), rtol=1e-5)
    found = rates(half, **{"schedule.floor": 0.5})
    np.testing.assert_allclose(found, np.maximum(1 - progress, 0.5), rtol=1e-5)


def test_a_sweep_takes_a_partial_and_sweeps_its_argument():
    found = gradjax.sweep(
        PROBLEM,
        "sgd",
        {"schedule.floor": [0.5, 1.0], "learning_rate": [1e-3, 1e-3]},
        schedule=functools.partial(half, floor=0.75),
        num_steps=4,
        lane_width=2,
    )
    expected = [[1.0, 0.75, 0.5, 0.5], [1.0] * 4]
    rates = found.trace["learning_rate"].values / 1e-3
    np.testing.assert_allclose(rates, expected, rtol=1e-5)


@pytest.mark.slow
def test_the_rates_of_an_adapted_optax_schedule_are_those_of_optax():
    theirs = optax.warmup_cosine_decay_schedule(0.1, 1.0, 3, 17)
    adapted = schedules.from_optax(theirs, 17)
    found = rates(adapted, 17)
    np.testing.assert_allclose(found, [theirs(k) for k in range(17)], rtol=1e-5)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (optax.cosine_decay_schedule(1.0, 10), "gradjax.schedules.from_optax"),
        (optax.linear_schedule(1.0, 0.0, 10), "counts steps"),
        (lambda: 1.0, "is not a function (progress, argument=...)"),
        (lambda progress, end: progress * end, "end without a default"),
        (lambda progress: progress * jnp.ones(3), "gives float32[3] at a progress"),
        (lambda progress: float(progress), "has no value at a progress f32[]"),
        (7, "expected an expression"),
    ],
)
def test_what_is_no_function_of_progress_is_refused(schedule, expected):
    with pytest.raises(Refusal) as refused:
        gradjax.program(PROBLEM, "sgd", schedule, num_steps=10)
    assert expected in str(refused.value) and "\n" not in str(refused.value)
