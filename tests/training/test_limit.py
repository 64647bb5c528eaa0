"""Runs that end when they have spent a number of gradients."""

import functools

import numpy as np
import pytest

import gradjax


def run(optimizer, num_steps, **more):
    problem = gradjax.problems.make("rosenbrock")
    program = gradjax.program(
        problem, optimizer, num_steps=num_steps, eval_every=5, **more
    )
    return gradjax.run(program)


def test_a_run_stops_at_the_evaluation_after_its_limit():
    problem = gradjax.problems.make("quadratic(condition=10)")
    make = functools.partial(gradjax.program, problem, "sgd(0.1)", eval_every=5)
    limited = gradjax.run(make(num_steps=12, max_gradients=4))
    assert limited.status == "stopped early" and limited.num_steps == 5
    assert limited.num_gradients == 4
    whole = gradjax.run(make(num_steps=4))
    assert limited.evaluation["train"]["loss"] == pytest.approx(
        whole.evaluation["train"]["loss"], rel=1e-4
    )


@pytest.mark.slow
def test_a_line_search_stops_at_the_step_that_reaches_its_limit():
    limited = run("lbfgs", 40, max_gradients=30)
    counts = limited.trace["num_gradients"].values[: limited.num_steps]
    last = int((counts > 0).sum())  # steps until 30 are reached
    assert limited.status == "stopped early" and last < 35
    assert (counts[:last] >= 2).all() and not counts[last:].any()
    spent = limited.num_gradients
    assert spent == counts.sum() and spent - counts[last - 1] < 30 <= spent
    assert limited.num_steps == -(-last // 5) * 5


@pytest.mark.slow
def test_the_schedule_ends_with_the_gradients():
    limited = run("sophia", 40, schedule="linear", max_gradients=40)
    counts = limited.trace["num_gradients"].values
    rates = limited.trace["learning_rate"].values
    spent = np.concatenate([[0.0], np.cumsum(counts)[:-1]])
    ran = counts > 0
    expected = rates[0] * (1 - spent / 40)
    np.testing.assert_allclose(rates[ran], expected[ran], rtol=1e-5)
    assert limited.num_gradients in (40, 41, 42)


def test_a_limit_must_be_a_count():
    with pytest.raises(gradjax.Refusal, match="max_gradients=0: must be a positive"):
        run("sgd", 4, max_gradients=0)
