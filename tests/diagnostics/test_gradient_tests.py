import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.diagnostics.gradient_tests import gradient_tests
from gradjax.models.mlp import mlp
from tests.diagnostics import noisy_quadratic as known


def network(num_examples):
    model = mlp((4,), 1, (6,))
    keys = jax.random.split(jax.random.key(0), 3)
    batch = {"x": jax.random.normal(keys[0], (num_examples, 4))}
    batch["y"] = jax.random.normal(keys[1], (num_examples, 1))

    def loss(params, batch):
        return ((model.apply(params, batch["x"]) - batch["y"]) ** 2).mean()

    return loss, model.init(keys[2]), batch


@pytest.mark.parametrize("num_examples", [2, 40])
def test_the_norm_test_squared_is_the_sum_of_the_other_two_squared(num_examples):
    loss, params, batch = network(num_examples)

    @jax.jit
    def measured(params, batch):
        grads = jax.grad(loss)(params, batch)
        return gradient_tests(loss, params, batch, grads, chunk=7)

    found = measured(params, batch)
    parts = found["inner_product"] ** 2 + found["orthogonality"] ** 2
    np.testing.assert_allclose(found["norm"] ** 2, parts, rtol=1e-6)


def test_they_are_the_formulas_of_the_papers():
    batch = known.draw(jax.random.key(1), 10)
    grads = jax.grad(known.loss)(known.PARAMS, batch)
    found = gradient_tests(known.loss, known.PARAMS, batch, grads)
    rows = np.asarray(batch, np.float64) + known.CURVATURES * np.asarray(known.PARAMS)
    mean, size = rows.mean(axis=0), 10
    square, along = mean @ mean, ((rows @ mean) ** 2).sum()
    total, num = (rows**2).sum(), size * (size - 1)
    trace = (total - size * square) / (size - 1)
    norm = np.sqrt(trace / (size * square))
    inner = np.sqrt((along - size * square**2) / (num * square**2))
    across = np.sqrt((total - along / square) / (num * square))
    expected = {"norm": norm, "inner_product": inner, "orthogonality": across}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)


def test_parallel_gradients_have_no_orthogonal_part():
    batch = jnp.arange(1.0, 9.0)

    def loss(params, batch):
        return (batch[:, None] * params[None]).sum(axis=1).mean()

    params = jnp.ones(3)
    found = gradient_tests(loss, params, batch, jax.grad(loss)(params, batch))
    assert found["orthogonality"] < 1e-3 * found["inner_product"]
    np.testing.assert_allclose(found["norm"], found["inner_product"], rtol=1e-6)


def test_a_gradient_of_0_has_no_test():
    batch = jnp.asarray([[1.0], [-1.0]])

    def loss(params, batch):
        return (batch * params[None]).mean()

    found = gradient_tests(loss, jnp.ones(1), batch, jnp.zeros(1))
    assert all(np.isnan(x) for x in found.values())
