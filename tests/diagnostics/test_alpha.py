import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.diagnostics.alpha import alpha, step_quality
from gradjax.models.mlp import mlp
from tests.diagnostics import noisy_quadratic as known


@pytest.mark.parametrize("rate", [0.01, 0.5, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("with_data", [True, False])
def test_alpha_on_a_parabola_is_rate_times_curvature_minus_1(rate, with_data):
    """0 is the minimum and 1 the same height on the other side."""

    def loss(params, batch):
        noise = 0.0 if batch is None else (batch * params[None]).mean()
        return 0.5 * params[0] ** 2 + noise

    with jax.enable_x64(True):
        params = jnp.asarray([1.5])
        batch = jnp.asarray([[0.1], [-0.3], [0.5]]) if with_data else None
        after = params - rate * jax.grad(loss)(params, batch)
        found = alpha(loss, params, after, batch, chunk=2)
        np.testing.assert_allclose(found["alpha"], rate - 1.0, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found["error"], 0.0, atol=1e-12)
        step = float((after - params)[0])
        np.testing.assert_allclose(found["curvature"], step**2, rtol=1e-10)


def test_alpha_in_float32_and_under_vmap():
    batch = known.draw(jax.random.key(0), 8)

    def one(rate):
        grads = jax.grad(known.loss)(known.PARAMS, batch)
        after = known.PARAMS - rate * grads
        curved = (known.CURVATURES * grads**2).sum() / (grads**2).sum()
        found = alpha(known.loss, known.PARAMS, after, batch)["alpha"]
        return found, rate * curved - 1.0

    found, expected = jax.jit(jax.vmap(one))(jnp.asarray([0.3, 1.0, 1.9]))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_it_is_the_solution_of_weighted_least_squares():
    """A loss with a cubic term does not meet the condition of a parabola."""

    def loss(params, batch):
        x = params[0] - batch
        return (x**2 + 0.5 * x**3).mean()

    with jax.enable_x64(True):
        batch = jnp.asarray([0.1, -0.4, 0.3, 0.9, -0.2])
        params, after = jnp.asarray([1.0]), jnp.asarray([-0.3])
        found = alpha(loss, params, after, batch)
        step = -1.3
        ends = [1.0 - np.asarray(batch), -0.3 - np.asarray(batch)]
        losses = [x**2 + 0.5 * x**3 for x in ends]
        slopes = [step * (2.0 * x + 1.5 * x**2) for x in ends]
        seen = np.asarray([*losses, *slopes])  # [4, batch]
        rows = np.asarray([[1, 0, 0], [1, 1, 1], [0, 1, 0], [0, 1, 2]], float)
        weights = np.sqrt(1.0 / seen.var(axis=1))
        fit = np.linalg.lstsq(rows * weights[:, None], seen.mean(axis=1) * weights)[0]
        expected = 2.0 / (-fit[1] / fit[2]) - 1.0
        np.testing.assert_allclose(found["alpha"], expected, rtol=1e-10)
        assert abs(found["error"]) > 0.1
        np.testing.assert_allclose(found["slope"], fit[1], rtol=1e-10)


def test_a_concave_parabola_has_no_minimum():
    def loss(params, _):
        return -(params**2).sum()

    params, after = jnp.asarray([1.0]), jnp.asarray([1.5])
    assert np.isnan(alpha(loss, params, after, None)["alpha"])
    assert alpha(loss, params, after, None)["curvature"] < 0.0
    still = alpha(loss, params, params, None)
    assert np.isnan(still["alpha"]) and still["slope"] == 0.0


def test_a_quadratic_is_predicted_to_rounding():
    batch = known.draw(jax.random.key(0), 8)
    step = jnp.asarray([0.3, -0.2, 0.5, 1.0])
    with jax.enable_x64(True):
        given = [jnp.asarray(x, float) for x in (known.PARAMS, known.PARAMS + step)]
        found = step_quality(known.loss, *given, jnp.asarray(batch, float))
        step = np.asarray(given[1] - given[0])
        expected = (known.CURVATURES * step**2).sum() / (step**2).sum()
        np.testing.assert_allclose(found["quality"], 1.0, rtol=1e-6)
        np.testing.assert_allclose(found["curvature"], expected, rtol=1e-6)
        np.testing.assert_allclose(found["actual"], found["predicted"], rtol=1e-6)


def test_a_short_step_of_a_network_is_predicted_and_a_long_one_is_not():
    model = mlp((3,), 1, (8,))
    keys = jax.random.split(jax.random.key(1), 3)
    params = model.init(keys[0])
    x = jax.random.normal(keys[1], (32, 3))

    def loss(params, batch):
        return (jnp.sin(model.apply(params, batch) * 3.0)[:, 0] ** 2).mean()

    def quality(rate):
        grads = jax.grad(loss)(params, x)
        after = jax.tree.map(lambda p, g: p - rate * g, params, grads)
        return step_quality(loss, params, after, x)

    short, long = jax.jit(quality)(1e-3), jax.jit(quality)(1.0)
    np.testing.assert_allclose(short["quality"], 1.0, atol=0.02)
    assert short["linear"] < 0.0 and abs(long["quality"] - 1.0) > 0.1


def test_no_step_predicts_nothing():
    found = step_quality(known.loss, known.PARAMS, known.PARAMS, jnp.ones((2, 4)))
    assert np.isnan(found["quality"]) and np.isnan(found["curvature"])


@pytest.mark.slow
def test_bfloat16_parameters_do_not_fail():
    batch = known.draw(jax.random.key(0), 4)
    given = [x.astype(jnp.bfloat16) for x in (known.PARAMS, 0.5 * known.PARAMS)]
    for found in (
        alpha(known.loss, *given, batch),
        step_quality(known.loss, *given, batch),
    ):
        assert {x.dtype for x in found.values()} == {jnp.dtype(jnp.float32)}
        assert all(np.isfinite(x) for x in found.values())
