"""The gradients that a backtracking line search counts."""

import functools
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import optimizers
from gradjax.optimizers import adapted
from gradjax.optimizers.build import nodes

BACKTRACKING = "scale_by_backtracking_linesearch(max_backtracking_steps=20{})"


@pytest.mark.parametrize(
    ("more", "thirds"),
    [("", 0), pytest.param(", store_grad=True", 2, marks=pytest.mark.slow)],
)
def test_a_loss_without_its_gradient_counts_as_a_third_of_one(more, thirds):
    """The search runs again with optax itself, which says how many losses it needed."""
    problem = gradjax.problems.make("rosenbrock")
    optimizer = f"chain(sgd(1.0), {BACKTRACKING.format(more)})"
    make = functools.partial(gradjax.program, problem, optimizer, num_steps=60)
    result = gradjax.run(make(max_gradients=40))
    counts = result.trace["num_gradients"].values
    last = int((counts > 0).sum())
    spent = np.cumsum(3 + _losses(problem, last) + thirds)  # in thirds
    np.testing.assert_array_equal(counts[:last].cumsum(), spent // 3)
    assert spent[-2] < 3 * 40 <= spent[-1], "the first step that reaches the limit"
    assert result.num_gradients == spent[-1] // 3


def test_a_backtracking_search_of_optax_counts_its_gradients_too(monkeypatch):
    """The function of optax with an argument is known by its path."""
    plain = optax.scale_by_backtracking_linesearch
    named = functools.partial(plain, max_backtracking_steps=20)
    monkeypatch.setitem(sys.modules, "searches", SimpleNamespace(named=named))
    spec, _ = optimizers.split("chain(sgd, searches:named)")
    entry = [node.entry for node in nodes(spec)][-1]
    assert callable(entry.num_gradients)
    assert isinstance(entry.make().init(jnp.zeros(2)), adapted.Counted)


def _losses(problem, num_steps):
    """Returns the points of each backtracking search of gradient descent."""
    rule = optax.chain(
        optax.sgd(1.0),
        optax.scale_by_backtracking_linesearch(max_backtracking_steps=20),
    )

    def value_fn(params):
        return problem.loss(params, None, jax.random.key(0))[0]

    @jax.jit
    def step(params, state):
        value, grad = jax.value_and_grad(value_fn)(params)
        moved = {"value": value, "grad": grad, "value_fn": value_fn}
        updates, state = rule.update(grad, state, params, **moved)
        return optax.apply_updates(params, updates), state

    params = problem.init(jax.random.key(0))
    state, found = rule.init(params), []
    for _ in range(num_steps):
        params, state = step(params, state)
        found.append(int(state[1].info.num_linesearch_steps))
    return np.array(found)
