"""Runs that end when they have spent a number of gradients."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Splits
from gradjax.data import arrays


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


def valley(x, batch, _key):
    """A loss that is not finite below 0.1."""
    loss = 0.5 * jnp.square(x - batch["target"]).mean()
    return jnp.where(x < 0.1, jnp.inf, loss), {}


def limited_valley(optimizer="sgd(0.5)", num_steps=24, **more):
    """A run from 1 towards 0."""
    splits = Splits(*(arrays.source({"target": np.zeros(2, "f")}) for _ in range(3)))
    problem = gradjax.Problem(lambda _: jnp.float32(1.0), valley, None, splits)
    program = gradjax.program(
        problem, optimizer, num_steps=num_steps, eval_every=5, batch_size=1, **more
    )
    return gradjax.run(program)


@pytest.mark.slow
def test_a_run_that_has_spent_its_gradients_has_not_diverged():
    limited = limited_valley(
        "average(sgd(0.1), decay=0.5)", max_gradients=4, keep="best", patience=2
    )
    assert limited.status == "stopped early"
    assert limited.num_steps == limited.kept_step == 5
    whole = limited_valley("average(sgd(0.1), decay=0.5)", num_steps=4)
    assert limited.params == pytest.approx(whole.params, rel=1e-6)
    assert limited.params > 0.9**4 + 0.01, "an average"


@pytest.mark.slow
def test_what_a_run_keeps_is_found_at_its_limit():
    """The loss at the parameters after the limit is not finite in the last case."""
    for keep, patience in (("best", None), ("last", 2)):
        limited = limited_valley(max_gradients=3, keep=keep, patience=patience)
        assert limited.num_steps == limited.kept_step == 5
        assert limited.params == pytest.approx(0.125)
    over = limited_valley("sgd(0.6)", max_gradients=3)
    assert over.status == "stopped early" and over.num_steps == 5
    assert over.params == pytest.approx(0.064)


def test_a_limit_must_be_a_count():
    with pytest.raises(gradjax.Refusal, match="max_gradients=0: must be a positive"):
        run("sgd", 4, max_gradients=0)


def test_a_limit_must_be_one_that_can_be_counted():
    with pytest.raises(gradjax.Refusal, match="max_gradients=16777217: must be at mo"):
        run("sgd", 4, max_gradients=2**24 + 1)
    with pytest.raises(gradjax.Refusal, match="an update in 6 steps .multi_steps"):
        nested = "multi_steps(multi_steps(sgd(0.1), every=2), every=3)"
        run(nested, 12, max_gradients=4)
    problem = gradjax.problems.make("rosenbrock")
    once = "multi_steps(sgd(0.1), every=1)"
    make = functools.partial(gradjax.program, problem, num_steps=4)
    assert make(once, max_gradients=2**24).plan.max_gradients == 2**24
