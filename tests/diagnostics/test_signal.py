import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.diagnostics import signal
from tests.diagnostics import noisy_quadratic as known


def rows_of(batch):
    """The gradient of every example, f64[batch, parameters]."""
    return np.asarray(batch, np.float64) + known.CURVATURES * np.asarray(known.PARAMS)


def test_ratios_are_their_formulas():
    batch = known.draw(jax.random.key(0), 16)
    grads = jax.grad(known.loss)(known.PARAMS, batch)
    found = signal.signal_to_noise(known.loss, known.PARAMS, batch, grads, eps=1e-3)
    rows = rows_of(batch)
    square, size = rows.mean(axis=0) ** 2, 16
    gsnr = (square / (rows.var(axis=0) + 1e-3)).mean()
    np.testing.assert_allclose(found["gsnr"], gsnr, rtol=1e-5)
    np.testing.assert_allclose(found["layer_gsnr"], gsnr, rtol=1e-5)
    evidence = 1 - size * (square / (rows.var(axis=0, ddof=1) + 1e-3)).mean()
    np.testing.assert_allclose(found["early_stopping"], evidence, rtol=1e-5)
    trace = rows.var(axis=0, ddof=1).sum()
    layer = (square.sum() - trace / size) / trace
    np.testing.assert_allclose(found["layers"], layer, rtol=1e-5)


def test_layers_are_measured_apart():
    def loss(params, batch):
        return (batch[:, :2] @ params["a"] + batch[:, 2:] @ params["b"]).mean()

    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    batch = known.draw(jax.random.key(0), 8) + 1.0
    grads = jax.grad(loss)(params, batch)
    found = signal.signal_to_noise(loss, params, batch, grads, eps=0.0)
    for name, rows in (("a", batch[:, :2]), ("b", batch[:, 2:])):
        rows = np.asarray(rows, np.float64)
        expected = (rows.mean(axis=0) ** 2 / rows.var(axis=0)).mean()
        np.testing.assert_allclose(found["layer_gsnr"][name], expected, rtol=1e-4)
    both = (found["layer_gsnr"]["a"] + found["layer_gsnr"]["b"]) / 2.0
    np.testing.assert_allclose(found["gsnr"], both, rtol=1e-5)


def test_evidence_of_pure_noise_has_mean_0():
    """The mean of B g^2 / s^2 is (B - 1) / (B - 3), that of Student's t squared."""

    def loss(params, batch):
        return (batch @ params).mean()

    def measure(params, batch, grads, memory, _key):
        found = signal.signal_to_noise(loss, params, batch, grads, eps=0.0)
        return {"evidence": found["early_stopping"]}, memory

    found = known.measured(measure, jnp.float32(0.0), 2000, 64, loss)["evidence"]
    expected = 1.0 - 63.0 / 61.0
    error = found.std() / len(found) ** 0.5
    assert abs(found.mean() - expected) < 4.0 * error < 0.1


def test_a_run_with_a_clear_gradient_goes_on():
    batch = known.draw(jax.random.key(0), 64)
    params = 10.0 * known.PARAMS
    grads = jax.grad(known.loss)(params, batch)
    found = signal.signal_to_noise(known.loss, params, batch, grads)
    assert found["early_stopping"] < -100.0


@pytest.mark.parametrize("chunk", [3, 32])
def test_cabs_is_its_formula(chunk):
    def loss(params, batch):
        return known.loss(params, batch) + 10.0

    batch = known.draw(jax.random.key(0), 16)
    grads = jax.grad(loss)(known.PARAMS, batch)
    rate = jnp.float32(0.2)
    found = signal.cabs(loss, known.PARAMS, batch, grads, rate, chunk)
    rows = rows_of(batch)
    noise = (rows**2).sum() - 16 * (rows.mean(axis=0) ** 2).sum()
    expected = 0.2 * noise / (16 * loss(known.PARAMS, batch))
    np.testing.assert_allclose(found["batch_size"], expected, rtol=1e-5)


def test_cabs_of_a_negative_loss_is_nan():
    def loss(params, batch):
        return known.loss(params, batch) - 100.0

    batch = known.draw(jax.random.key(0), 4)
    grads = jax.grad(loss)(known.PARAMS, batch)
    found = signal.cabs(loss, known.PARAMS, batch, grads, jnp.float32(0.2))
    assert np.isnan(found["batch_size"])
