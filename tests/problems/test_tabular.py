"""The wine table: scikit-learn's numbers, and its own solver's optimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Refusal, problems
from gradjax.data import tables


def test_the_table_is_scikit_learns_split_once():
    from sklearn import datasets

    x, y = datasets.load_wine(return_X_y=True)
    splits = tables.wine()
    assert [len(part["y"]) for part in splits.values()] == [36, 18, 124]
    labels = np.concatenate([part["y"] for part in splits.values()])
    assert labels.dtype == np.int32
    assert (np.bincount(labels) == np.bincount(y)).all()
    train = splits["train"]["x"]
    np.testing.assert_allclose(train.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(train.std(axis=0), 1.0, rtol=1e-12)
    assert x.shape == (178, train.shape[1])


def test_the_minimum_is_scikit_learns():
    """C = 1 / (l2 n); a column of ones, penalised as the others, is the offset."""
    from sklearn.linear_model import LogisticRegression

    table, l2 = tables.wine()["train"], 0.02
    columns = np.column_stack([table["x"], np.ones(len(table["x"]))])
    solver = LogisticRegression(
        C=1 / (l2 * len(columns)), fit_intercept=False, tol=1e-10, max_iter=10_000
    )
    theirs = solver.fit(columns, table["y"]).coef_.T
    ours = problems.make(f"wine(l2={l2})").minimum.params[0]
    np.testing.assert_allclose(ours["w"], theirs[:-1], atol=1e-5)
    np.testing.assert_allclose(ours["b"], theirs[-1], atol=1e-5)


@pytest.mark.parametrize("expression", ["wine", "wine_mlp(width=8)"])
@pytest.mark.slow
def test_the_test_wines_are_told_apart(expression):
    problem = problems.make(expression)
    program = gradjax.program(problem, "adam(0.02)", num_steps=200, batch_size=32)
    result = gradjax.run(program, seed=0)
    assert result.evaluation["test"]["accuracy"] >= 0.94


@pytest.mark.slow
def test_loss_and_metrics_agree():
    problem = problems.make("wine")
    params = jax.tree.map(lambda leaf: leaf + 0.1, problem.init(jax.random.key(0)))
    batch = jax.tree.map(lambda leaf: leaf[:10], problem.data.train.arrays)
    total, count = problem.metrics(params, batch, None)["loss"]
    np.testing.assert_allclose(
        total / count, problem.loss(params, batch, None)[0], rtol=1e-5
    )
    squares = 39 * 0.01 + 3 * 0.01
    expected = jnp.log(3.0) + 0.5 * 1e-2 * squares  # equal outputs: no class is liked
    np.testing.assert_allclose(total / count, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("wine(l2=0)", "l2=0: expected a number from 1e-06 to 1e"),
        ("wine_mlp(width=0)", "width=0: expected a whole number from 1 to 8192"),
        ("wine_mlp(widths=8)", "width"),
    ],
)
def test_a_bad_argument_is_refused(expression, expected):
    with pytest.raises(Refusal, match=expected):
        problems.make(expression)
