"""Held-out splits whose examples differ from those of training."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import gradjax

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
DATA = {"x": X, "y": X @ np.asarray([1, -2, 0.5], np.float32)}
OTHERS: dict[str, tuple[Any, str]] = {
    "another number of features": (
        {"x": X[:, :2], "y": DATA["y"]},
        "an example of batch['x'] is float32[2], expected float32[3] as in training,"
        " and the metrics fail: TypeError: dot_general",
    ),
    "another type": (
        DATA | {"row": np.arange(6.0)},
        "an example of batch['row'] is float32[], expected int32[] as in training, and"
        " the metrics fail: TypeError: Indexer must have integer or boolean type",
    ),
    "a column for a number": (
        {"x": X, "y": DATA["y"][:, None], "row": np.arange(6)},
        "an example of batch['y'] is float32[1], expected float32[] as in training",
    ),
    "no dictionary": (
        (X, DATA["y"]),
        "an example of batch['row'] is absent, expected int32[] as in training, and"
        " the metrics fail: TypeError: tuple indices must be integers",
    ),
}


def loss(params, batch, _key):
    row = params["rows"][batch["row"]] if "row" in batch else 0.0
    return jnp.mean((batch["x"] @ params["w"] + row - batch["y"]) ** 2), {}


def program(train, metrics=None, **others):
    start = {"w": jnp.zeros(3), "rows": jnp.zeros(6)}
    problem = gradjax.problem(loss, start, train, metrics=metrics, **others)
    return gradjax.program(problem, "sgd", num_steps=2)


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("case", OTHERS)
def test_other_examples_than_those_of_training_are_refused(case, split):
    given, said = OTHERS[case]
    with pytest.raises(gradjax.Refusal) as refused:
        program(DATA | {"row": np.arange(6)}, **{split: given})
    line = str(refused.value)
    assert line.startswith(f"the {split} split: {said}"), line
    assert len(line.splitlines()) == 1


def test_other_metrics_than_those_of_training_are_refused():
    def metrics(params, batch, key):
        value = loss(params, batch, key)[0]
        return {name: (value, 1.0) for name in ("loss", *batch) if name in "loss row"}

    with pytest.raises(gradjax.Refusal) as refused:
        program(DATA, metrics, validation=DATA | {"row": np.arange(6)})
    assert str(refused.value) == (
        "the validation split: an example of batch['row'] is int32[], expected absent"
        " as in training, and the metrics are loss float32[], row float32[], expected"
        " loss float32[]"
    )


MEASURED: dict[str, Any] = {
    "extra": np.ones((6, 2)),  # no metric asks for it
    "y": np.arange(6),  # whole numbers are subtracted as others are
    "x": X.astype(np.float16),
}


@pytest.mark.parametrize("leaf", MEASURED)
def test_other_examples_that_can_be_measured_are_taken(leaf):
    other = DATA | {leaf: MEASURED[leaf]}
    assert program(DATA, validation=other).plan.batch_size == len(X)


@pytest.mark.slow
def test_other_examples_that_can_be_measured_are_measured():
    result = gradjax.run(program(DATA, validation=MEASURED), {"learning_rate": 1e-6})
    assert result.evaluation["validation"]["loss"] == pytest.approx(55 / 6, rel=1e-3)
