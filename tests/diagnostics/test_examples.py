import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gradjax.diagnostics import examples, trees
from gradjax.errors import Refusal
from gradjax.models.mlp import mlp


def net(num_examples=10, dtype=jnp.float32):
    model = mlp((4,), 3, (5,))
    keys = jax.random.split(jax.random.key(0), 3)
    params = jax.tree.map(lambda x: x.astype(dtype), model.init(keys[0]))
    batch = {
        "x": jax.random.normal(keys[1], (num_examples, 4), dtype),
        "y": jax.random.normal(keys[2], (num_examples, 3), dtype),
    }

    def loss(params, batch):
        return ((model.apply(params, batch["x"]) - batch["y"]) ** 2).mean()

    return loss, params, batch


def summed(loss, chunk=32):
    def sums(params, batch):
        grads = jax.grad(loss)(params, batch)
        found = examples.deviations(loss, params, batch, grads, chunk)
        return found._replace(num_examples=jnp.int32(found.num_examples))

    def measured(params, batch):
        found = jax.jit(sums)(params, batch)
        return found._replace(num_examples=int(found.num_examples))

    return measured


def dense(loss, params, batch):
    """The gradient of every example, f64[batch, parameters]."""
    one = jax.grad(examples.one(loss))
    grads = jax.jit(jax.vmap(one, (None, 0)))(params, batch)
    rows = [np.reshape(g, (len(g), -1)) for g in jax.tree.leaves(grads)]
    return np.concatenate(rows, axis=1, dtype=np.float64)


@pytest.mark.parametrize("chunk", [1, 3, pytest.param(5, marks=pytest.mark.slow), 64])
def test_sums_are_those_of_all_gradients_for_every_chunk(chunk):
    loss, params, batch = net()
    found = summed(loss, chunk)(params, batch)
    rows = dense(loss, params, batch)
    mean = rows.mean(axis=0)
    away = rows - mean
    close = {"rtol": 2e-5, "atol": 1e-6}
    np.testing.assert_allclose(found.squares, (away**2).sum(axis=1), **close)
    np.testing.assert_allclose(found.products, away @ mean, **close)
    flat = ravel_pytree(found.coordinates)[0]
    np.testing.assert_allclose(flat, (away**2).sum(axis=0), **close)
    np.testing.assert_allclose(found.square, mean @ mean, **close)
    trace = np.trace(np.cov(rows.T))
    np.testing.assert_allclose(found.trace, trace, rtol=1e-5)
    assert found.num_examples == 10


def test_small_noise_beside_a_large_gradient_keeps_its_digits():
    """Raw sums ||g_i||^2 of 3e4 have steps of 2e-3 in float32; the trace is 3e-8."""
    noise = 1e-4 * jax.random.normal(jax.random.key(1), (64, 3))

    def loss(params, batch):
        return ((100.0 + batch) @ params).mean()

    params = jnp.ones(3)
    grads = jax.grad(loss)(params, noise)
    found = examples.deviations(loss, params, noise, grads)
    rows = np.asarray(100.0 + noise, np.float64)
    expected = np.trace(np.cov(rows.T))
    np.testing.assert_allclose(found.trace, expected, rtol=0.03)
    raw = (jnp.sum((100.0 + noise) ** 2) - 64 * jnp.sum(grads**2)) / 63
    assert abs(raw - expected) > 100.0 * expected


def test_memory_is_bounded_by_the_chunk():
    """Temporaries of 4 of 256 gradients; all of them together would be 5 MB."""
    size = 5000

    def loss(params, batch):
        return jnp.tanh(batch[:, None] * params[None]).mean()

    def trace(params, batch):
        grads = jax.grad(loss)(params, batch[:1])
        return examples.deviations(loss, params, batch, grads, 4).trace

    compiled = jax.jit(trace).lower(jnp.ones(size), jnp.ones(256)).compile()
    memory = compiled.memory_analysis()
    if memory is None:
        pytest.skip("this backend does not tell the memory of a program")
    assert memory.temp_size_in_bytes < 20 * 4 * size * 4


@pytest.mark.slow
def test_bfloat16_parameters_have_sums_in_float32():
    loss, params, batch = net(6, jnp.bfloat16)
    found = summed(loss, 4)(params, batch)
    assert {x.dtype for x in jax.tree.leaves(found[1:])} == {jnp.dtype(jnp.float32)}
    up = [jax.tree.map(lambda x: x.astype(jnp.float32), x) for x in (params, batch)]
    np.testing.assert_allclose(found.trace, summed(loss, 4)(*up).trace, rtol=0.05)


@pytest.mark.slow
def test_float64_stays_float64():
    with jax.enable_x64(True):
        loss, params, batch = net(6, jnp.float64)
        found = summed(loss, 4)(params, batch)
        assert {x.dtype for x in jax.tree.leaves(found[1:])} == {jnp.dtype("float64")}
        expected = np.trace(np.cov(dense(loss, params, batch).T))
        np.testing.assert_allclose(found.trace, expected, rtol=1e-12)


def test_deviations_under_vmap_are_those_of_each_lane():
    loss, params, batch = net(5)
    lanes = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), params)

    def trace(params):
        grads = jax.grad(loss)(params, batch)
        return examples.deviations(loss, params, batch, grads, 2).trace

    found = jax.jit(jax.vmap(trace))(lanes)
    alone = jax.jit(trace)
    double = jax.tree.map(lambda x: 2 * x, params)
    np.testing.assert_allclose(found, [alone(params), alone(double)], rtol=1e-5)


@pytest.mark.parametrize(
    ("batch", "message"),
    [(None, "no batch"), (jnp.ones(1), "a batch of 1: expected at least 2")],
)
def test_a_batch_without_noise_is_refused(batch, message):
    with pytest.raises(Refusal, match=message):
        examples.deviations(lambda p, _: p.sum(), jnp.ones(2), batch, jnp.ones(2))


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [([(3,)], 32), ([(10**5,), (10**5, 2)], 4), ([(10**7,)], 1), ([], 32)],
)
def test_gradients_that_are_computed_together_take_8_mib(shapes, expected):
    params = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    assert examples.usual_chunk(params) == expected


@pytest.mark.parametrize("chunk", [0, 1.5, True])
def test_a_chunk_that_is_no_count_is_refused(chunk):
    loss, params, batch = net(4)
    with pytest.raises(Refusal, match="chunk="):
        examples.deviations(loss, params, batch, params, chunk)


def test_trees_have_the_norm_of_the_flattened_vector():
    _, params, _ = net()
    flat = ravel_pytree(params)[0]
    np.testing.assert_allclose(trees.square(params), flat @ flat, rtol=1e-6)
    assert np.isnan(trees.ratio(jnp.float32(1.0), jnp.float32(0.0)))
