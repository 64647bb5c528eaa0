"""A key that a batch or the parameters do not have is named, with those that it has."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradjax

DATA = {"x": np.zeros((4, 3), np.float32), "y": np.zeros(4, np.float32)}


def refusal(loss, data, **more):
    problem = gradjax.problem(loss, {"w": jnp.zeros(3)}, data, **more)
    with pytest.raises(gradjax.Refusal) as caught:
        gradjax.program(problem, num_steps=2)
    return str(caught.value)


def test_a_missing_key_of_a_batch_says_which_there_are():
    def loss(params, batch, _key):
        return jnp.sum(params["w"]) + batch["labels"].sum(), {}

    said = refusal(loss, DATA)
    assert said.startswith("the loss asks for batch['labels']; a batch has 'x', 'y' (")
    assert 'batch["labels"].sum()' in said, "the line of the user's file"

    def nested(params, batch, _key):
        return jnp.sum(params["w"]) + batch["a"]["z"].sum(), {}

    said = refusal(nested, {"a": DATA})
    assert "asks for batch['a']['z']; batch['a'] has 'x', 'y'" in said


def test_a_missing_parameter_says_which_there_are():
    def loss(params, _batch, _key):
        return jnp.sum(params["weights"]), {}

    assert "the loss asks for params['weights']; params has 'w'" in refusal(loss, DATA)


def test_another_missing_key_is_not_blamed_on_the_batch():
    def loss(params, _batch, _key):
        return jnp.sum(params["w"]) * {"a": 1}["y"], {}

    assert refusal(loss, DATA).startswith("the loss fails: KeyError: 'y' (")


def test_metrics_and_other_splits_are_checked_before_a_run():
    def loss(params, batch, _key):
        return jnp.sum(params["w"]) + batch["y"].sum(), {}

    said = refusal(loss, DATA, validation={"x": DATA["x"]})
    assert "the loss asks for batch['y']; a batch has 'x'" in said

    def metrics(_params, batch, _key):
        return {"loss": (batch["q"].sum(), 1.0)}

    said = refusal(loss, DATA, metrics=metrics)
    assert "the metrics function asks for batch['q']; a batch has 'x', 'y'" in said


KEYS = (3, None, ("a",), b"a")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("beside", [{}, {"loss": (1.0, 1.0)}, {"b": (1.0, 1.0)}])
def test_the_name_of_a_metric_is_a_text(key, beside):
    def loss(params, batch, _key):
        return jnp.sum(params["w"]) + batch["y"].sum(), {}

    given = {key: (1.0, 1.0), **beside}
    for more in ({}, {"validation": DATA}):
        said = refusal(loss, DATA, metrics=lambda *_: given, **more)
        assert said == f"metrics[{key!r}]: a name must be a text"


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("beside", [{}, {"a": 1.0}])
def test_the_name_of_an_aux_is_a_text(key, beside):
    def loss(params, _batch, _key):
        return jnp.sum(params["w"]), {key: 1.0, **beside}

    assert refusal(loss, DATA) == f"the loss's aux[{key!r}]: a name must be a text"
