"""Problems of linen modules, of pytrees that can be called, and bundled networks."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Refusal, problems

X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
DATA = {"x": X, "y": X.sum(axis=1)}


def squared(outputs, batch):
    return (outputs[:, 0] - batch["y"]) ** 2


@pytest.mark.slow
def test_the_objective_is_the_mean_and_metrics_are_traced_and_measured():
    problem = gradjax.from_linen(
        nn.Dense(1),
        squared,
        DATA,
        DATA,
        metrics={"far": lambda o, b: squared(o, b) > 1},
    )
    params = problem.init(jax.random.key(0))
    outputs = X @ np.asarray(params["kernel"]) + np.asarray(params["bias"])
    np.testing.assert_allclose(problem.apply(params, DATA), outputs, rtol=1e-5)
    errors = np.asarray(outputs[:, 0] - DATA["y"]) ** 2
    loss, aux = problem.loss(params, DATA, jax.random.key(0))
    assert float(loss) == pytest.approx(errors.mean(), rel=1e-5)
    assert float(aux["far"]) == pytest.approx((errors > 1).mean())
    total, count = problem.metrics(params, DATA, None)["loss"]
    assert float(total) == pytest.approx(errors.sum(), rel=1e-5) and count == 8


def test_dropout_is_applied_in_training_alone():
    class Dropped(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            return nn.Dropout(0.5, deterministic=not train)(nn.Dense(1)(x))

    problem = gradjax.from_linen(Dropped(), squared, DATA)
    params = problem.init(jax.random.key(0))
    outputs = problem.apply(params, DATA, jax.random.key(1))
    assert (outputs == 0).any() and not (problem.apply(params, DATA) == 0).any()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((lambda x: x, squared, DATA), "expected a flax.linen module"),
        ((nn.Dense(1), squared, {"image": X}), "inputs='x': the data have 'image'"),
        ((nn.Dense(1), squared, X), "the data have no keys"),
        (
            (nn.Dense(1), squared, DATA, None, None, {3: squared}),
            "metrics[3]: a name must be a text",
        ),
    ],
)
def test_what_is_no_module_or_has_no_inputs_is_refused(arguments, expected):
    with pytest.raises(Refusal) as refused:
        gradjax.from_linen(*arguments)
    assert expected in str(refused.value) and "\n" not in str(refused.value)


def test_a_loss_that_is_a_mean_already_is_refused():
    problem = gradjax.from_linen(nn.Dense(1), lambda o, b: squared(o, b).mean(), DATA)
    with pytest.raises(Refusal, match="one number for each example"):
        gradjax.program(problem, "sgd", num_steps=1)


@jax.tree_util.register_pytree_node_class
class Line:
    """A pytree that can be called, as an Equinox module can."""

    def __init__(self, slope, name=None):
        self.slope, self.name = slope, name

    def __call__(self, x):
        return x @ self.slope

    def tree_flatten(self):
        return (self.slope, self.name), None

    @classmethod
    def tree_unflatten(cls, _, leaves):
        return cls(*leaves)


def line_loss(line, batch, _key):
    return ((line(batch["x"]) - batch["y"]) ** 2).mean(), {}


def test_a_callable_pytree_is_parameters_and_no_function():
    problem = gradjax.problem(line_loss, Line(jnp.zeros(3)), DATA)
    program = gradjax.program(problem, "sgd", num_steps=60)
    result = gradjax.run(program, {"learning_rate": 0.3})
    assert isinstance(result.params, Line)
    np.testing.assert_allclose(result.params.slope, np.ones(3), atol=0.05)


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        (Line(jnp.zeros(3), "a line"), "is 'a line': expected an array or a number"),
        ({"w": jnp.zeros(3), "act": jnp.tanh}, "params['act'] is the function tanh"),
        ({}, "params without a leaf"),
    ],
)
def test_a_leaf_that_is_no_number_is_refused_by_name(init, expected):
    with pytest.raises(Refusal) as refused:
        gradjax.program(gradjax.problem(line_loss, init, DATA), "sgd", num_steps=1)
    assert expected in str(refused.value)


def test_a_word_among_aux_is_refused_by_name():
    def loss(line, batch, key):
        return line_loss(line, batch, key)[0], {"kind": "linear"}

    problem = gradjax.problem(loss, Line(jnp.zeros(3)), DATA)
    with pytest.raises(Refusal, match=r"aux\['kind'\] is str"):
        gradjax.program(problem, "sgd", num_steps=1)


@pytest.mark.slow
def test_a_bundled_network_gives_its_outputs_for_a_batch():
    problem = problems.make("wine_mlp")
    params, train = problem.init(jax.random.key(0)), problem.data.train
    batch = train.take(train.arrays, jnp.arange(4, dtype=jnp.uint32))
    logits = problem.apply(params, batch)
    chances = jax.nn.log_softmax(logits)[jnp.arange(4), batch["y"]]
    loss = problem.loss(params, batch, jax.random.key(0))[0]
    assert float(loss) == pytest.approx(-float(chances.mean()), rel=1e-5)


@pytest.mark.parametrize(
    "name", ["clinc_bag", "digits_mlp", "shakespeare_gru", "tatoeba_transformer"]
)
@pytest.mark.slow
def test_each_kind_of_bundled_network_is_given(made, name):
    problem = made(name)
    train = problem.data.train
    batch = jax.eval_shape(
        train.take, train.arrays, jax.ShapeDtypeStruct((2,), jnp.uint32)
    )
    params = jax.eval_shape(problem.init, jax.random.key(0))
    assert jax.eval_shape(problem.apply, params, batch).shape[0] == 2


def test_a_data_set_is_arrays():
    digits = gradjax.dataset("digits")
    assert digits.train["image"].shape == (len(digits.train["label"]), 8, 8, 1)
