"""Pooling against the library, and its derivatives in both directions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.models.pooling import (
    max_pool,
    max_pool_overlapping,
    relu_of_max_pool,
    relu_of_overlapping_max_pool,
)

SHAPES = [(2, 4, 4, 3), (1, 5, 7, 2), (3, 2, 3, 1), (2, 8, 8, 3), (1, 6, 3, 1)]


def of_library(x):
    window = (1, 2, 2, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")


def overlapping_of_library(x):
    window, strides = (1, 3, 3, 1), (1, 2, 2, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, "SAME")


PAIRS = [(max_pool, of_library), (max_pool_overlapping, overlapping_of_library)]


def normal(*shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize("shape", [*SHAPES, (1, 1, 1, 1), (1, 1, 2, 1)])
@pytest.mark.parametrize(("ours", "library"), PAIRS)
def test_max_pool_is_the_librarys(ours, library, shape):
    x = normal(*shape)
    weights = normal(*jax.eval_shape(library, x).shape, seed=1)

    def of(pool):
        def loss(x):
            outputs = pool(x)
            return (weights * outputs).sum(), outputs

        return jax.jit(jax.grad(loss, has_aux=True))(x)

    (grads, outputs), (expected, others) = of(ours), of(library)
    np.testing.assert_array_equal(outputs, others)
    np.testing.assert_allclose(grads, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("ours", "pool"),
    [
        (relu_of_max_pool, of_library),
        (relu_of_overlapping_max_pool, overlapping_of_library),
    ],
)
def test_relu_of_pooled_is_relu_of_the_librarys(ours, pool, shape):
    """Values and gradients in both arguments, where no two values are equal."""
    x, bias = normal(*shape), 0.5 * normal(shape[-1], seed=1)
    weights = normal(*jax.eval_shape(pool, x).shape, seed=2)

    def of(function):
        def loss(x, bias):
            outputs = function(x, bias)
            return (weights * outputs).sum(), outputs

        return jax.jit(jax.grad(loss, (0, 1), has_aux=True))(x, bias)

    (grads, outputs), (expected, others) = (
        of(ours),
        of(lambda x, bias: jax.nn.relu(pool(x) + bias[None, None, None])),
    )
    np.testing.assert_array_equal(outputs, others)
    np.testing.assert_allclose(grads[0], expected[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(grads[1], expected[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_forward_and_reverse_derivatives_are_transposed(shape):
    """<u, J v> = <J' u, v> in float64, and J v is the difference of the values."""
    with jax.enable_x64(True):
        x, bias = normal(*shape).astype(float), normal(shape[-1], seed=1).astype(float)
        v = normal(*shape, seed=2), normal(shape[-1], seed=3)
        v = (v[0].astype(float), v[1].astype(float))
        outputs, pushed = jax.jvp(relu_of_max_pool, (x, bias), v)
        u = normal(*outputs.shape, seed=4).astype(float)
        _, pull = jax.vjp(relu_of_max_pool, x, bias)
        pulled = pull(u)
        inner = sum((a * b).sum() for a, b in zip(pulled, v, strict=True))
        np.testing.assert_allclose((u * pushed).sum(), inner, rtol=1e-12)
        step = 1e-7
        moved = relu_of_max_pool(x + step * v[0], bias + step * v[1])
        np.testing.assert_allclose((moved - outputs) / step, pushed, atol=1e-6)


@pytest.mark.parametrize("largest", list(itertools.product([0, 1], repeat=4)))
def test_the_first_of_equal_values_has_the_derivative(largest):
    """In each pattern of equal values, as in the windows of jax.lax."""
    x = jnp.asarray(largest, float).reshape(1, 2, 2, 1)
    bias = jnp.ones(1)
    grads = jax.grad(lambda *args: relu_of_max_pool(*args).sum(), (0, 1))(x, bias)
    expected = jax.grad(lambda x: of_library(x).sum())(x)
    np.testing.assert_array_equal(grads[0], expected)
    np.testing.assert_array_equal(grads[1], 1.0)


def test_below_zero_there_is_no_derivative():
    x, bias = jnp.full((1, 2, 2, 1), 1.0), jnp.full(1, -2.0)
    value, pushed = jax.jvp(relu_of_max_pool, (x, bias), (x, bias))
    assert value == 0 and pushed == 0


@pytest.mark.parametrize("bad", [jnp.inf, -jnp.inf, jnp.nan])
def test_a_channel_with_a_bad_bias_leaves_the_others_as_they_are(bad):
    x, bias = normal(1, 4, 4, 2), jnp.asarray([bad, 1.0])
    grads = jax.grad(lambda x: relu_of_max_pool(x, bias).sum())(x)
    other = jax.grad(lambda x: relu_of_max_pool(x, bias[1:]).sum())(x[..., 1:])
    np.testing.assert_array_equal(grads[..., 1:], other)


def test_lanes_and_short_floats_have_the_derivatives_of_one_trial():
    x, bias = normal(3, 1, 4, 4, 2), normal(3, 2, seed=1)
    gradient = jax.grad(lambda x, bias: relu_of_max_pool(x, bias).sum())
    alone = jnp.stack([gradient(*one) for one in zip(x, bias, strict=True)])
    np.testing.assert_array_equal(jax.vmap(gradient)(x, bias), alone)
    short = gradient(x[0].astype(jnp.bfloat16), bias[0].astype(jnp.bfloat16))
    assert short.dtype == jnp.bfloat16
    assert set(np.unique(np.asarray(short, float))) <= {0.0, 1.0}


def test_the_hessian_of_a_loss_of_pooled_values():
    """The pool is linear where no two values are equal, so the Hessian is J' J."""
    x, bias = normal(1, 4, 4, 2), jnp.ones(2)

    def plain(x, bias):
        return jax.nn.relu(of_maximum(x) + bias[None, None, None])

    def hessian(function):
        def loss(flat):
            return (function(flat.reshape(x.shape), bias) ** 2).sum() / 2

        return jax.jit(jax.hessian(loss))(x.ravel())

    found = hessian(relu_of_max_pool)
    np.testing.assert_allclose(found, hessian(plain), atol=1e-6)
    assert jnp.abs(found).sum() > 1


def of_maximum(x):
    parts = [x[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    return jnp.stack(parts).max(axis=0)
