"""Products with the Hessian, Gauss-Newton and Fisher matrices, against dense ones."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from gradjax import Refusal
from gradjax.diagnostics import products
from gradjax.models import LANGUAGE_MODELS
from tests.diagnostics.curvature_nets import NAMES, dense_hessian, net


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def tangent_of(params, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), params)


def dense_gauss_newton(made, params, batch):
    """J' H_out J from the dense Jacobian of the network."""
    flat, unravel = ravel_pytree(params)
    shape = jax.eval_shape(made.apply, params, batch).shape

    def outputs(vector):
        return made.apply(unravel(vector), batch).reshape(-1)

    def outer(logits):
        return made.output_loss(logits.reshape(shape), batch)

    jacobian = jax.jacobian(outputs)(flat)
    return jacobian.T @ jax.hessian(outer)(outputs(flat)) @ jacobian


def assert_close(tree, vector, rtol=1e-10):
    flat = ravel_pytree(tree)[0]
    np.testing.assert_allclose(flat, vector, atol=rtol * np.abs(vector).max())


@pytest.mark.parametrize(
    "name", ["mlp", *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES[1:])]
)
def test_products_are_those_of_the_dense_matrices(name):
    made = net(name)
    tangent = tangent_of(made.params)
    vector = ravel_pytree(tangent)[0]
    hessian = dense_hessian(made.loss, made.params, made.batch) @ vector
    gauss_newton = jax.jit(dense_gauss_newton, static_argnums=0)(
        made._replace(params=None, batch=None), made.params, made.batch
    )
    assert np.linalg.eigvalsh(gauss_newton)[0] > -1e-10

    @jax.jit
    def all_(params, batch, tangent):
        point = (made.loss, params, batch)
        split = (made.apply, made.output_loss, params, batch, tangent)
        return (
            products.hessian_product(*point, tangent),
            products.hessian_operator(*point)(tangent),
            products.gauss_newton_product(*split),
            products.fisher_product(made.apply, params, batch, tangent),
        )

    truths = (hessian, hessian, *[gauss_newton @ vector] * 2)
    for found, truth in zip(all_(*made[2:], tangent), truths, strict=True):
        assert_close(found, truth)


@pytest.mark.slow
def test_fisher_is_the_covariance_of_gradients_under_the_model():
    made = net("mlp")
    flat, unravel = ravel_pytree(made.params)
    logits = made.apply(made.params, made.batch)

    def log_likelihoods(vector):
        return jax.nn.log_softmax(made.apply(unravel(vector), made.batch))

    scores = jax.jacobian(log_likelihoods)(flat)  # f64[batch, classes, n]
    fisher = jnp.einsum("bc,bci,bcj->ij", jax.nn.softmax(logits), scores, scores)
    tangent = tangent_of(made.params)
    found = products.fisher_product(made.apply, made.params, made.batch, tangent)
    assert_close(found, fisher / len(logits) @ ravel_pytree(tangent)[0])


def test_gauss_newton_of_a_linear_model_is_its_hessian():
    rng = np.random.default_rng(0)
    inputs, labels = jnp.asarray(rng.normal(size=(9, 4))), jnp.arange(9) % 3
    params = {"w": jnp.asarray(rng.normal(size=(4, 3)))}

    def apply(params, batch):
        return batch @ params["w"]

    def output_loss(logits, _):
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean()

    def loss(params, batch):
        return output_loss(apply(params, batch), batch)

    tangent = tangent_of(params)
    hessian = products.hessian_product(loss, params, inputs, tangent)
    found = products.gauss_newton_product(apply, output_loss, params, inputs, tangent)
    np.testing.assert_allclose(found["w"], hessian["w"], rtol=1e-12)


@pytest.mark.slow
def test_products_work_under_jit_and_vmap():
    made = net("mlp")
    tangents = jax.vmap(lambda scale: jax.tree.map(lambda x: scale * x, made.params))(
        jnp.arange(3.0)
    )
    one = products.hessian_product(made.loss, made.params, made.batch, made.params)

    @jax.jit
    def several(params, batch, tangents):
        return jax.vmap(products.hessian_operator(made.loss, params, batch))(tangents)

    found = several(made.params, made.batch, tangents)
    jax.tree.map(
        lambda all_, leaf: np.testing.assert_allclose(all_[2], 2 * leaf, atol=1e-12),
        found,
        one,
    )


def test_a_loss_over_checkpointed_chunks_keeps_one_chunk():
    weights = jnp.ones((30, 30))
    batch = jnp.ones((40, 50, 30))

    def chunk(params, inputs):
        return jnp.mean(jnp.tanh(jnp.tanh(inputs @ params) @ params))

    def kept_bytes(one):
        def loss(params, batch):
            return jnp.mean(jax.lax.map(lambda inputs: one(params, inputs), batch))

        def linear(params, batch):
            gradient = jax.grad(lambda params: loss(params, batch))
            return jax.linearize(gradient, params)[1]

        leaves = jax.tree.leaves(jax.eval_shape(linear, weights, batch))
        return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)

    assert kept_bytes(jax.checkpoint(chunk)) < 2 * batch.nbytes
    assert kept_bytes(chunk) > 3 * batch.nbytes


@pytest.mark.slow
def test_a_product_costs_at_most_what_the_documentation_says():
    model = LANGUAGE_MODELS["transformer"](64, 64, 2, 4)
    tokens = jnp.zeros((16, 32), int)
    params = model.init(jax.random.key(0))

    def apply(params, batch):
        return model.apply(params, batch)

    def output_loss(logits, batch):
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch).mean()

    def loss(params, batch):
        return output_loss(apply(params, batch), batch)

    def flops(function, *arguments):
        compiled = jax.jit(function).lower(*arguments).compile()
        return compiled.cost_analysis()["flops"]

    def linear_flops(make):
        operator = jax.jit(make)(params, tokens)
        return flops(lambda operator, v: operator(v), operator, params)

    def hessian(params, batch):
        return jax.tree_util.Partial(
            jax.linearize(lambda p: jax.grad(loss)(p, batch), params)[1]
        )

    gradient = flops(jax.grad(loss), params, tokens)
    assert linear_flops(hessian) < 2.25 * gradient

    def gauss_newton(params, batch, tangent):
        return products.gauss_newton_product(apply, output_loss, params, batch, tangent)

    assert flops(gauss_newton, params, tokens, params) < 1.7 * gradient


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"n": jnp.arange(3)}, r"params\['n'\] is of int\d\d; curvature needs floats"),
        ({}, "there is no element"),
        ({"w": jnp.zeros((0, 3))}, "there is no element"),
    ],
)
def test_params_that_have_no_curvature_are_refused(params, said):
    def loss(params, _):
        return jnp.sum(params["n"])

    with pytest.raises(Refusal, match=said):
        products.hessian_product(loss, params, None, params)


@pytest.mark.parametrize(
    ("value_of", "said"),
    [
        (lambda w: w**2, r"returned float64\[3\]; expected one number"),
        (lambda w: (w.sum(), 0), "returned a tuple; expected one number"),
        (lambda w: w.size, "returned a int; expected one number"),
    ],
)
def test_a_loss_that_is_not_one_number_is_refused(value_of, said):
    params = {"w": jnp.ones(3)}

    def loss(params, _):
        return value_of(params["w"])

    with pytest.raises(Refusal, match=said):
        products.hessian_product(loss, params, None, params)


def test_a_tangent_of_another_shape_is_refused():
    params = {"w": jnp.ones(3)}

    def loss(params, _):
        return jnp.sum(params["w"] ** 2)

    with pytest.raises(Refusal, match=r"tangent\['w'\] has the shape \(2,\)"):
        products.hessian_product(loss, params, None, {"w": jnp.ones(2)})
    with pytest.raises(Refusal, match="tangent: expected the same leaves as params"):
        products.hessian_product(loss, params, None, {"v": jnp.ones(3)})
