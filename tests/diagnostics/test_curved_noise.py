import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.diagnostics import curved_noise, noise
from gradjax.errors import Refusal
from tests.diagnostics import noisy_quadratic as known

MEMORY = curved_noise.curved_noise_scale_memory(known.PARAMS)
H = known.CURVATURES


def curved(num_probes, loss=known.loss):
    def measure(params, batch, grads, memory, key):
        return curved_noise.curved_noise_scale(
            loss, params, batch, grads, key, memory, num_probes, decay=1.0
        )

    return measure


@pytest.mark.parametrize("num_probes", [None, 2])
def test_scale_of_known_noise_is_its_closed_form(num_probes):
    found = known.measured(curved(num_probes), MEMORY, 1000, 32)
    trace = float((H * known.SPREADS**2).sum())
    square = float((H**3 * np.asarray(known.PARAMS) ** 2).sum())
    assert found["mean_trace"][-1] == pytest.approx(trace, rel=0.1)
    assert found["mean_squared_gradient"][-1] == pytest.approx(square, rel=0.05)
    assert found["noise_scale"][-1] == pytest.approx(trace / square, rel=0.1)


def test_with_an_isotropic_hessian_it_is_the_simple_scale():
    def loss(params, batch):
        return (1.5 * params[None] ** 2 + batch * params[None]).sum(axis=1).mean()

    batch = known.draw(jax.random.key(0), 12)
    grads = jax.grad(loss)(known.PARAMS, batch)
    one, _ = noise.noise_scale(loss, known.PARAMS, batch, grads, MEMORY)
    other, _ = curved(None, loss)(known.PARAMS, batch, grads, MEMORY, None)
    np.testing.assert_allclose(one["noise_scale"], other["noise_scale"], rtol=1e-5)


def test_probes_have_the_exact_trace_as_their_mean():
    batch = known.draw(jax.random.key(0), 12)
    grads = jax.grad(known.loss)(known.PARAMS, batch)
    given = (known.PARAMS, batch, grads, MEMORY, jax.random.key(3))
    exact = jax.jit(lambda: curved(None)(*given)[0])()["trace"]
    found = jax.jit(lambda: curved(4000)(*given)[0])()["trace"]
    np.testing.assert_allclose(found, exact, rtol=0.05)


def test_takeuchi_of_a_diagonal_hessian_is_its_closed_form():
    """One vector of signs gives the trace and the diagonal exactly."""
    batch = known.draw(jax.random.key(0), 12)
    grads = jax.grad(known.loss)(known.PARAMS, batch)
    found = curved_noise.takeuchi(
        known.loss, known.PARAMS, batch, grads, jax.random.key(1), num_probes=1
    )
    rows = H * np.asarray(known.PARAMS) + np.asarray(batch)
    moments = (rows.astype(np.float64) ** 2).mean(axis=0)
    np.testing.assert_allclose(found["tic_trace"], moments.sum() / H.sum(), rtol=1e-5)
    np.testing.assert_allclose(found["tic_diagonal"], (moments / H).sum(), rtol=1e-5)


def test_bfloat16_parameters_are_measured_in_float32():
    params = known.PARAMS.astype(jnp.bfloat16)
    batch = known.draw(jax.random.key(0), 12)
    grads = jax.grad(known.loss)(params, batch)
    for num_probes in (None, 2):
        found, _ = curved_noise.curved_noise_scale(
            known.loss, params, batch, grads, jax.random.key(0), MEMORY, num_probes
        )
        assert found["trace"].dtype == jnp.float32 and np.isfinite(found["trace"])


@pytest.mark.parametrize("num_probes", [0, 1.5])
def test_a_number_of_probes_that_is_none_is_refused(num_probes):
    batch = known.draw(jax.random.key(0), 4)
    given = (known.PARAMS, batch, known.PARAMS, MEMORY, jax.random.key(0))
    with pytest.raises(Refusal, match="num_probes="):
        curved(num_probes)(*given)
